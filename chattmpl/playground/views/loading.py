"""From a state to a template, a conversation and a rendering; errors as data, with the editor that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from chattmpl.compiler.retention import POLICIES
from chattmpl.conversation.files import parse_text
from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.playground.state import State
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import normalize_newlines
from chattmpl.template.family import family_names, shipped_folder
from chattmpl.template.resolver import Found, find_template
from chattmpl.template.special_tokens import PLACEHOLDERS
from chattmpl.template.template import Rendering, Template

Where = Literal["template", "conversation", "settings"]

RETENTION = tuple(name for name in POLICIES if name != "runtime")
"""The policies that can be looked at: the one that is chosen at run time is one of the others."""

GIVEN = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "reasoning_retention"}
)
"""What has a control of its own, or is part of the conversation."""


@dataclass(frozen=True)
class Problem:
    """Something wrong, or worth knowing, and where.

    Attributes:
        where: the editor that it belongs to.
        severity: ``error``, ``warning`` or ``info``.
        code: of the rule, if one found it.
        message, hint: what is wrong, and the way out.
        line: of the text in the editor, from 1; None where that is not known.
        start, end: its characters in that text, half-open.
    """

    where: Where
    severity: str
    message: str
    hint: str = ""
    code: str = ""
    line: int | None = None
    start: int | None = None
    end: int | None = None


class Failed(Exception):
    """A view that cannot be made; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@contextmanager
def blaming(where: Where) -> Any:
    """Turns an error of the library into a problem of one of the editors."""
    try:
        yield
    except ChatTmplError as error:
        raise Failed(problem_of(error, where)) from error


def problem_of(error: ChatTmplError, where: Where) -> Problem:
    """An error of the library as a problem."""
    at = position(error.place)
    return Problem(where, "error", error.message, error.hint or "", "", *at)


def position(place: Place | None) -> tuple[int | None, int | None, int | None]:
    """Line, start and end of a place, as `Problem` has them."""
    return (None, None, None) if place is None else (place.line, place.start, place.end)


def found_of(state: State) -> Found:
    """The template of a state, with what is known of it.

    Raises:
        Failed: if there is no such template.
    """
    with blaming("settings"):
        base = _base(state.base) if state.base else Found(Source("", state.name), dict(state.tokens))
    if state.source is None:
        return base
    # What is known of a family stays known while its template is edited.
    return replace(base, source=Source(state.source, base.source.name if state.base else state.name))


def _base(name: str) -> Found:
    if name in family_names():
        return _family(name)
    return find_template(name)


@lru_cache(maxsize=32)
def _family(name: str) -> Found:
    return find_template(name)


def text_of(state: State) -> str:
    """What the template's editor shows, whose lines all places count."""
    return normalize_newlines(found_of(state).source.text)


def template_of(state: State) -> Template:
    """The template, compiled.

    Raises:
        Failed: if it does not compile.
    """
    found = found_of(state)
    if found.family is None:
        found = replace(found, tokens={**PLACEHOLDERS, **found.tokens})
    with blaming("template"):
        template = _compiled(found.source, tuple(sorted(found.tokens.items())), state.base if found.family else "")
        if state.retention in RETENTION and template.retention is not None:
            return _under(template, state.retention)
        return template


@lru_cache(maxsize=16)
def _compiled(source: Source, tokens: tuple[tuple[str, str], ...], family: str) -> Template:
    return Template(Found(source, dict(tokens), _base(family).family if family else None))


@lru_cache(maxsize=16)
def _under(template: Template, retention: str) -> Template:
    return template.with_retention(retention)


def fixture_names() -> list[str]:
    """The conversations that ship."""
    return sorted(path.stem for path in shipped_folder("fixtures").glob("*.json"))


def fixture_text(name: str) -> str:
    """The text of one of them.

    Raises:
        Failed: if there is none of that name.
    """
    if name not in fixture_names():
        raise Failed(Problem("settings", "error", f"there is no fixture {name!r}"))
    return (shipped_folder("fixtures") / f"{name}.json").read_text(encoding="utf-8")


def conversation_text(state: State) -> str:
    """What the conversation's editor shows."""
    return fixture_text(state.fixture) if state.conversation is None else state.conversation


def conversation_of(state: State) -> Conversation:
    """The conversation.

    Raises:
        Failed: if the text is none, or holds several.
    """
    text = conversation_text(state)
    with blaming("conversation"):
        if not text.strip():
            raise UsageError("there is no conversation", hint="choose a fixture, or write a list of messages")
        found = list(parse_text(text, name="conversation"))
        if len(found) != 1:
            raise UsageError(f"the text holds {len(found)} conversations", hint="keep one of them")
    return found[0]


def kwargs_of(state: State, template: Template) -> dict[str, Any]:
    """The kwargs that were set, without those that this template does not read."""
    return {name: value for name, value in state.kwargs.items() if name in readable(template)}


def readable(template: Template) -> list[str]:
    """The kwargs that a template reads and that are not given in another way."""
    names = template.program.variables - GIVEN
    return sorted(name for name in names if not name.endswith("_token") and name not in template.tokens)


@dataclass(frozen=True)
class Rendered:
    """A rendering with what it was made from."""

    state: State
    template: Template
    conversation: Conversation
    rendering: Rendering
    kwargs: dict[str, Any]
    clock: datetime

    @property
    def marked(self) -> Rendering:
        """The rendering as the target has it: an engine that serves knows of no generated spans."""
        return self.rendering if self.state.target == "train" else without_mask(self.rendering)


def without_mask(rendering: Rendering) -> Rendering:
    """The same text, with nothing generated."""
    return replace(rendering, spans=tuple(span._replace(generated=False) for span in rendering.spans))


def rendered(state: State, template: Template | None = None) -> Rendered:
    """Render what a state says.

    Args:
        state: what.
        template: with another template than that of the state.

    Raises:
        Failed: if the template, the conversation, or both together are wrong.
    """
    conversation = conversation_of(state)
    template = template or template_of(state)
    kwargs, clock = kwargs_of(state, template), datetime.now().replace(second=0, microsecond=0)
    with blaming("template"):
        rendering = template.render(conversation, state.prompt, clock, **kwargs)
    return Rendered(state, template, conversation, rendering, kwargs, clock)


def severest(problems: Iterable[Problem]) -> str:
    """The gravest severity of some problems; empty for none."""
    found = {problem.severity for problem in problems}
    return next((severity for severity in ("error", "warning", "info") if severity in found), "")
