"""What can be chosen from the lists of the page."""

from __future__ import annotations

from pathlib import Path

from chattmpl.playground.controls import Options
from chattmpl.playground.layout import OTHER
from chattmpl.playground.setup import DEMO, Setup
from chattmpl.playground.state import State
from chattmpl.playground.views.loading import RETENTION, fixture_names
from chattmpl.template.family import family_names


def template_options(setup: Setup, state: State) -> Options:
    """The families, what the command line named, and an editor without anything."""
    families = family_names()
    files = [name for name in (setup.template, state.base) if name and name not in families]
    blank = state.name if not state.base and state.source else "nothing yet: paste one"
    return {
        "Families": {name: name for name in families},
        "Files": {name: Path(name).name for name in files},
        "Your own": {"": blank},
    }


def conversation_options(setup: Setup, state: State) -> Options:
    """The fixtures and the user's own."""
    fixtures = fixture_names()
    own = list(setup.conversations)
    if state.fixture not in (*fixtures, *own):
        own.append(state.fixture)
    return {
        "Yours": {name: name for name in own},
        "Fixtures": {name: name.replace("_", " ") for name in fixtures},
    }


def retention_options(own: str | None, chosen: str | None) -> Options:
    """The policies, where a template has a place for one."""
    if own is None:
        return {"": {"": "none to choose"}}
    first = "the template's own" if chosen is not None else f"the template's own ({own})"
    return {"": {"": first, **{name: name for name in RETENTION}}}


def tokenizer_options(setup: Setup, state: State) -> Options:
    """The tokenizers that were named, and the way to name another."""
    named = [DEMO, *(name for name in (setup.tokenizer, state.tokenizer) if name not in (DEMO, ""))]
    shown = {name: name if len(name) < 28 else f"…{name[-26:]}" for name in dict.fromkeys(named)}
    return {"": {**shown, "": "none", OTHER: OTHER}}
