"""Proof that two templates render the same texts."""

from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import LintContext
from chattmpl.probing.corpus import CONVERSATIONS, as_parts
from chattmpl.probing.modes import mode_names
from chattmpl.probing.prober import render_or_error
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.template.template import Rendering, Template

SpanChange = Literal["same", "shrink", "grow"]
"""Allowed changes of generated spans: none, losing the template's own text, or gaining text."""

EXAMPLES = 60
"""Number of conversations that hypothesis generates."""

_MODES = 6
"""Number of template kwargs that are varied."""


class ProofCase(NamedTuple):
    """A conversation to render, whether with the generation prompt, and kwargs."""

    conversation: Conversation
    prompt: bool
    kwargs: dict[str, Any]


class ReferenceRenderings:
    """The renderings of a template, to be compared with those of another one."""

    def __init__(self, subject: LintContext) -> None:
        self._template = subject.template

    def holds(self, other: Template, spans: SpanChange) -> bool:
        """Return whether another template renders the same texts, with only allowed changes of spans."""
        for case, expected in self._expected:
            made = render_or_error(other, *case)
            if isinstance(expected, Rendering) and isinstance(made, Rendering):
                if made.text != expected.text or not _allowed(expected, made, spans):
                    return False
            elif type(made) is not type(expected):
                return False
        return True

    @cached_property
    def _expected(self) -> list[tuple[ProofCase, Rendering | ChatTmplError]]:
        return [(case, render_or_error(self._template, *case)) for case in self._cases()]

    def _cases(self) -> Iterator[ProofCase]:
        conversations = [*_probes(), *shipped_conversations()]
        matrix: list[dict[str, Any]] = [{}]
        for name, values in self._modes().items():
            matrix += [{name: value} for value in values]
        for kwargs in matrix:
            for conversation in conversations:
                yield from (ProofCase(conversation, prompt, kwargs) for prompt in (False, True))
        for conversation in generated_conversations(EXAMPLES):
            yield from (ProofCase(conversation, prompt, {}) for prompt in (False, True))

    def _modes(self) -> dict[str, tuple[Any, ...]]:
        family = self._template.family
        if family is not None:
            return {name: tuple(mode.values) for name, mode in family.modes.items()}
        return dict.fromkeys(mode_names(self._template)[:_MODES], (True, False, "text"))


@cache
def _probes() -> tuple[Conversation, ...]:
    return tuple(
        Conversation.coerce({**conversation, "messages": conversation["messages"][:count]})
        for given in CONVERSATIONS.values()
        for conversation in (given, as_parts(given))
        for count in range(1, len(conversation["messages"]) + 1)
    )


def _allowed(before: Rendering, after: Rendering, change: SpanChange) -> bool:
    """Return whether spans changed only as allowed; losing text of a message is not."""
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
    """Return whether a range contains text of a message that is not the assistant's."""
    messages = rendering.conversation.messages
    return any(
        span.message is not None and span.field != "role" and messages[span.message].role != "assistant"
        for span in rendering.spans
        if span.end > start and span.start < end
    )


def _fields(rendering: Rendering) -> Iterator[tuple[int, int]]:
    """Yield the generated ranges of text from assistant messages."""
    for span in rendering.spans:
        if span.generated and span.message is not None and span.field != "role":
            yield span.start, span.end
