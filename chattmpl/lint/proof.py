"""Proof that two templates write the same: each rendering of one is compared with that of the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws.modes import GIVEN
from chattmpl.lint.context import Subject
from chattmpl.lint.conversations import CONVERSATIONS, as_parts
from chattmpl.lint.probe import CLOCK
from chattmpl.template.template import Rendering, Template

SpanChange = Literal["same", "shrink", "grow"]
"""How generated spans may change: not at all, by losing text of the template's own, or by gaining text."""

EXAMPLES = 60
"""As many conversations are made by hypothesis, where it is installed."""

_MODES = 6
"""So many variables that the template reads are varied."""


class Case(NamedTuple):
    """What is rendered: a conversation, whether with the generation prompt, and kwargs."""

    conversation: Conversation
    prompt: bool
    kwargs: dict[str, Any]


class Proof:
    """What a template writes, to be compared with what another one does."""

    def __init__(self, subject: Subject) -> None:
        self._template = subject.template
        self._variables = subject.variables

    def holds(self, other: Template, spans: SpanChange) -> bool:
        """Whether the other template writes the same in every case, with spans that changed only as they may."""
        for case, expected in self._expected:
            made = _rendered(other, case)
            if isinstance(expected, Rendering) and isinstance(made, Rendering):
                if made.text != expected.text or not _allowed(expected, made, spans):
                    return False
            elif type(made) is not type(expected):
                return False
        return True

    @cached_property
    def _expected(self) -> list[tuple[Case, Rendering | ChatTmplError]]:
        return [(case, _rendered(self._template, case)) for case in self._cases()]

    def _cases(self) -> Iterator[Case]:
        conversations = [*_probes(), *_shipped()]
        matrix: list[dict[str, Any]] = [{}]
        for name, values in self._modes().items():
            matrix += [{name: value} for value in values]
        for kwargs in matrix:
            for conversation in conversations:
                yield from (Case(conversation, prompt, kwargs) for prompt in (False, True))
        for conversation in _made():
            yield from (Case(conversation, prompt, {}) for prompt in (False, True))

    def _modes(self) -> dict[str, tuple[Any, ...]]:
        family = self._template.family
        if family is not None:
            return {name: tuple(mode.values) for name, mode in family.modes.items()}
        names = sorted(name for name in self._variables - GIVEN if not name.endswith("_token"))
        return dict.fromkeys(names[:_MODES], (True, False, "text"))


@cache
def _probes() -> tuple[Conversation, ...]:
    return tuple(_prefixes())


def _prefixes() -> Iterator[Conversation]:
    for given in CONVERSATIONS.values():
        for conversation in (given, as_parts(given)):
            for count in range(1, len(conversation["messages"]) + 1):
                yield Conversation.coerce({**conversation, "messages": conversation["messages"][:count]})


@cache
def _shipped() -> tuple[Conversation, ...]:
    from chattmpl.laws.checker import fixtures

    return tuple(fixtures())


@cache
def _made() -> tuple[Conversation, ...]:
    from chattmpl.laws.checker import made

    try:
        return tuple(made(EXAMPLES))
    except UsageError:
        return ()


def _rendered(template: Template, case: Case) -> Rendering | ChatTmplError:
    try:
        return template.render(case.conversation, case.prompt, CLOCK, **case.kwargs)
    except ChatTmplError as error:
        return error


def _allowed(before: Rendering, after: Rendering, change: SpanChange) -> bool:
    """Whether spans changed only as they may; a span that loses text of a message has changed too much."""
    if before.generated == after.generated:
        return True
    if change == "same":
        return False
    more, less = (before, after) if change == "shrink" else (after, before)
    if not all(any(s <= start and end <= e for s, e in more.generated) for start, end in less.generated):
        return False
    if change == "grow":
        return not any(_foreign(after, *span) for span in after.generated)
    kept = sum(end - start for start, end in _fields(after))
    return kept == sum(end - start for start, end in _fields(before))


def _foreign(rendering: Rendering, start: int, end: int) -> bool:
    """Whether a range has text of another message than the assistant's."""
    messages = rendering.conversation.messages
    return any(
        span.message is not None and span.field != "role" and messages[span.message].role != "assistant"
        for span in rendering.spans
        if span.end > start and span.start < end
    )


def _fields(rendering: Rendering) -> Iterator[tuple[int, int]]:
    """The generated ranges that came from what an assistant's message holds."""
    for span in rendering.spans:
        if span.generated and span.message is not None and span.field != "role":
            yield span.start, span.end
