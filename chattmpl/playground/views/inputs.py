"""Template, conversation and rendering of a state. Errors are data and belong to one of the editors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.files import records_of_text
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.notes import ReadingNote
from chattmpl.encode import special_tokens_of
from chattmpl.encode.tokenizer_loader import DEMO
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.playground.state import State
from chattmpl.source import Place, Source
from chattmpl.syntax.lexer import normalize_newlines
from chattmpl.template.family import family_names, shipped_folder
from chattmpl.template.resolver import TemplateSource, find_template
from chattmpl.template.special_tokens import with_placeholders
from chattmpl.template.template import Rendering, Template

Where = Literal["template", "conversation", "settings"]

RETENTION = tuple(POLICIES)
"""The policies to choose from; ``runtime`` selects one of the others at run time."""

RESERVED = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "reasoning_retention"}
)
"""Variables that are part of the conversation or have their own control."""


@dataclass(frozen=True)
class Problem:
    """An error or a finding, and its place.

    Attributes:
        where: the editor that it belongs to.
        severity: ``error``, ``warning`` or ``info``.
        code: code of the lint rule, if there is one.
        line: line in the editor, from 1; None if unknown.
        start, end: half-open range of characters in the editor.
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
    """A view that cannot be made because of a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@contextmanager
def problems_in(where: Where) -> Iterator[None]:
    """Turn errors of the library into problems of one of the editors."""
    try:
        yield
    except ChatTmplError as error:
        at = position(error.place)
        raise Failed(Problem(where, "error", error.message, error.hint or "", "", *at)) from error


def position(place: Place | None) -> tuple[int | None, int | None, int | None]:
    """Return line, start and end of a place, as in `Problem`."""
    return (None, None, None) if place is None else (place.line, place.start, place.end)


def found_of(state: State) -> TemplateSource:
    """Find the template of a state, with its special tokens and family.

    Raises:
        Failed: if the template does not exist.
    """
    with problems_in("settings"):
        base = _base(state.base) if state.base else TemplateSource(Source("", state.name), state.tokens, explicit=True)
        if state.tokenizer not in ("", DEMO):
            base = base.with_tokens(special_tokens_of(state.tokenizer))
    base = replace(base, tool_use=None)
    if state.source is None:
        return base
    # The family stays known while its template is edited.
    return replace(base, source=Source(state.source, base.source.name if state.base else state.name))


_family = lru_cache(maxsize=32)(find_template)


def _base(name: str) -> TemplateSource:
    return _family(name) if name in family_names() else find_template(name)


def text_of(state: State) -> str:
    """Return the text of the template's editor, to which all line numbers refer."""
    return normalize_newlines(found_of(state).source.text)


def template_of(state: State) -> Template:
    """Compile the template of a state; raise `Failed` if it does not compile."""
    found = found_of(state)
    if found.family is None:
        found = replace(found, tokens=with_placeholders(found.tokens))
    with problems_in("template"):
        template = _compiled(found.source, tuple(sorted(found.tokens.items())), state.base if found.family else "")
        if state.retention in RETENTION and template.retention is not None:
            return _under(template, state.retention)
        return template


@lru_cache(maxsize=16)
def _compiled(source: Source, tokens: tuple[tuple[str, str | None], ...], family: str) -> Template:
    return Template(TemplateSource(source, dict(tokens), _base(family).family if family else None))


@lru_cache(maxsize=16)
def _under(template: Template, retention: str) -> Template:
    return template.with_retention(retention)


def fixture_names() -> list[str]:
    """Return the names of the conversations that ship with chattmpl."""
    return sorted(path.stem for path in shipped_folder("fixtures").glob("*.json"))


def fixture_text(name: str) -> str:
    """Return the text of a conversation that ships with chattmpl; raise `Failed` if it does not exist."""
    if name not in fixture_names():
        raise Failed(Problem("settings", "error", f"unknown fixture {name!r}"))
    return (shipped_folder("fixtures") / f"{name}.json").read_text(encoding="utf-8")


def conversation_text(state: State) -> str:
    """Return the text of the conversation's editor."""
    return fixture_text(state.fixture) if state.conversation is None else state.conversation


def conversation_of(state: State) -> Conversation:
    """Parse the conversation of a state; see `record_of`."""
    return record_of(state)[0]


def record_of(state: State) -> tuple[Conversation, tuple[ReadingNote, ...]]:
    """Parse the conversation of a state, and return the notes on how it was read.

    Raises:
        Failed: if the text is not exactly one conversation.
    """
    text = conversation_text(state)
    with problems_in("conversation"):
        if not text.strip():
            raise UsageError("the conversation is empty", hint="choose a fixture, or write a list of messages")
        found = list(records_of_text(text, name="conversation"))
        if len(found) != 1:
            raise UsageError(f"the text holds {len(found)} conversations", hint="keep one of them")
        return found[0]()


def kwargs_of(state: State, template: Template) -> dict[str, Any]:
    """Return the kwargs of a state that the template reads."""
    return {name: value for name, value in state.kwargs.items() if name in readable(template)}


def readable(template: Template) -> list[str]:
    """Return the kwargs that a template reads, without tokens and reserved variables."""
    names = template.program.variables - RESERVED
    return sorted(name for name in names if not name.endswith("_token") and name not in template.tokens)


@dataclass(frozen=True)
class Rendered:
    """A rendering and its inputs."""

    state: State
    template: Template
    conversation: Conversation
    rendering: Rendering
    kwargs: dict[str, Any]
    clock: datetime
    notes: tuple[ReadingNote, ...] = ()

    @property
    def marked(self) -> Rendering:
        """The rendering for the target: a serving engine has no generated spans."""
        return self.rendering if self.state.target == "train" else without_mask(self.rendering)


def without_mask(rendering: Rendering) -> Rendering:
    """Return the rendering with nothing generated."""
    return replace(rendering, spans=tuple(span._replace(generated=False) for span in rendering.spans))


def rendered(state: State) -> Rendered:
    """Render the conversation of a state with its template.

    Raises:
        Failed: if the template or the conversation is invalid, or the template refuses the conversation.
    """
    conversation, notes = record_of(state)
    template = template_of(state)
    kwargs, clock = kwargs_of(state, template), datetime.now().replace(second=0, microsecond=0)
    with problems_in("template"):
        rendering = template.render(conversation, state.prompt, clock, **kwargs)
    return Rendered(state, template, conversation, rendering, kwargs, clock, notes)
