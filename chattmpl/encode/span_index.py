"""What encoding asks of the spans of a rendering: who wrote a character, and in whose turn does it stand?"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from chattmpl.template.spans import Span
    from chattmpl.template.template import Rendering


class Piece(NamedTuple):
    """Generated characters ``[start, end)`` of one turn (``turn`` is None where the template tells of none)."""

    start: int
    end: int
    turn: int | None


class Field(NamedTuple):
    """The field that characters came from, as a span names it."""

    message: int | None
    path: str | None

    def __str__(self) -> str:
        where = "" if self.message is None else f"messages[{self.message}]"
        return ".".join(filter(None, (where, self.path))) or "the text"


class Spans:
    """The spans of one rendering, ready to be asked."""

    def __init__(self, rendering: Rendering) -> None:
        self.text = rendering.text
        self.all = rendering.spans
        self._starts = [span.start for span in self.all]

    def within(self, start: int, end: int) -> Sequence[Span]:
        """The spans that have a character in ``[start, end)``."""
        first = max(0, bisect.bisect_right(self._starts, start) - 1)
        return self.all[first : bisect.bisect_left(self._starts, end)]

    def field(self, offset: int) -> Field:
        """The field that one character came from."""
        span = self.within(offset, offset + 1)[0]
        return Field(span.message, span.field)

    def foreign(self, start: int, end: int) -> Field | None:
        """The first field that has a part in a control token at ``[start, end)``; None if the template wrote it.

        A role between the template's own brackets (``'<|' + message.role + '|>'``) is the template's doing: templates
        build their headers so, and a role is one of a few known words.
        """
        first = self.all[bisect.bisect_right(self._starts, start) - 1]
        if end <= first.end and first.literal:
            return None  # as nearly always
        spans = self.within(start, end)
        others = [span for span in spans if not span.literal]
        if not others or (len(others) < len(spans) and all(span.field == "role" for span in others)):
            return None
        return Field(others[0].message, others[0].field)

    @cached_property
    def turns(self) -> list[tuple[int, int | None]]:
        """Runs of one turn: (first character, index of the message), the last one up to the end of the text."""
        runs: list[tuple[int, int | None]] = []
        for span in self.all:
            turn = _turn(span)
            if not runs or runs[-1][1] != turn:
                runs.append((span.start, turn))
        return runs

    @cached_property
    def generated(self) -> list[Piece]:
        """The generated spans, neighbours of one turn joined."""
        pieces: list[Piece] = []
        for span in self.all:
            if not span.generated:
                continue
            turn, last = _turn(span), pieces[-1] if pieces else None
            if last is not None and last.end == span.start and (last.turn == turn or None in (last.turn, turn)):
                pieces[-1] = Piece(last.start, span.end, last.turn if turn is None else turn)
            else:
                pieces.append(Piece(span.start, span.end, turn))
        return pieces


def _turn(span: Span) -> int | None:
    """The message that was being rendered; where no loop says so, the one that the characters came from."""
    return span.message if span.turn is None else span.turn


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted ranges, those that touch made one."""
    result: list[tuple[int, int]] = []
    for start, end in ranges:
        if result and result[-1][1] >= start:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
