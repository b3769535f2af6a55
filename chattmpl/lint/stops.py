"""What ends a turn: the control tokens behind the text of a message."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.context import Subject
from chattmpl.lint.probe import Turn
from chattmpl.template.special_tokens import CONTROL

PLAIN = ("turn", "reasoning", "calls", "turns")
MASKED = (*PLAIN, "spoken", "agent", "parallel")
"""The conversations in which masks are looked at, the smallest first; the plain ones every template has a form for."""


def generated_turns(subject: Subject) -> Iterator[tuple[Turn, tuple[int, int]]]:
    """The assistant's turns of those conversations of which something is generated, with its range."""
    if subject.generation:
        for turn in subject.probe.turns(*MASKED):
            if turn.generated is not None:
                yield turn, turn.generated


def stops(subject: Subject, turn: Turn) -> Iterator[tuple[int, int]]:
    """The ranges of what may be the stop token of a turn: control tokens behind what the message holds."""
    if turn.content is None:
        return
    family = subject.found.family
    for match in CONTROL.finditer(turn.whole.text, turn.content[1]):
        # A token that opens a tool's result stands for the tool, whoever writes it.
        opens = match[0].lstrip("<|").startswith("tool_response")
        if not opens and (family is None or match[0] in family.generation.stop_tokens):
            yield match.span()
