"""Blocks: things in a row, such as the calls of a turn or the tools of a system turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chattmpl.parse.pattern import Match, Pattern, compiled
from chattmpl.template.family import BlockFacts


@dataclass(frozen=True)
class Row:
    """What was found: the values of each thing, where each begins, and where the row ends.

    ``closed`` says whether it came to its end; otherwise ``end`` is where the last thing that is whole ended.
    """

    items: tuple[Mapping[str, Any], ...]
    starts: tuple[int, ...]
    end: int
    closed: bool


@dataclass(frozen=True)
class Block:
    """A block of a family, compiled."""

    facts: BlockFacts

    @cached_property
    def each(self) -> tuple[Pattern, ...]:
        """The patterns that each of the things may have."""
        return tuple(compiled(pattern) for pattern in self.facts.each)

    @cached_property
    def starts(self) -> tuple[str, ...]:
        """The texts that it may begin with."""
        openings = (self.facts.opens, *self.facts.also_opens)
        return tuple(opens + pattern.start for opens in openings for pattern in self.each)

    def find(self, text: str, position: int, end: int) -> int:
        """Where it may begin next, or -1."""
        found = [text.find(start, position, end) for start in self.starts]
        return min((place for place in found if place >= 0), default=-1)

    def read(self, text: str, position: int, end: int) -> Row:
        """The block at a position, as far as it goes."""
        for opens in (self.facts.opens, *self.facts.also_opens):
            if text.startswith(tuple(opens + pattern.start for pattern in self.each), position):
                return self._read(opens, text, position, end)
        return Row((), (), position, False)

    def _read(self, opens: str, text: str, position: int, end: int) -> Row:
        items: list[Mapping[str, Any]] = []
        starts: list[int] = []
        whole = position
        position += len(opens)
        while (found := self._one(text, position, end)) is not None and found.end > position:
            items.append(found.values)
            starts.append(position)
            whole = position = found.end
            if not text.startswith(self.facts.separator, position):
                break
            position += len(self.facts.separator)
        closed = bool(items) and text.startswith(self.facts.closes, whole) and whole + len(self.facts.closes) <= end
        return Row(tuple(items), tuple(starts), whole + len(self.facts.closes) * closed, closed)

    def _one(self, text: str, position: int, end: int) -> Match | None:
        for pattern in self.each:
            if (found := pattern.match(text, position, end)) is not None:
                return found
        return None
