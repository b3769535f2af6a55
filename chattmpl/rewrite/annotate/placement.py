"""Where the tags go: the longest runs of neighbours that are wholly generated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.guards import Guard, GuardPrinter
from chattmpl.rewrite.annotate.layout import Block, Item, Output, Statement, Text, variables, walk
from chattmpl.rewrite.annotate.span_labels import ALL, NONE, UNCLEAR, UNSEEN, SpanLabel, labeled_parts, labels_of
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal

_SCOPES = frozenset({"for", "macro", "call", "filter", "with", "block"})
_CLOSED = frozenset({"macro", "call", "filter", "set"})
"""Blocks whose output is captured: transformers does not see the tags in them."""
_LONGEST_COPY = 700
"""Characters. What is written once for the assistant and once for all others is no longer than that."""


@dataclass(frozen=True)
class TaggedRange:
    """A stretch of the source that is to be generated.

    Attributes:
        start, end: in characters.
        guard: the condition under which it is; None if it always is.
    """

    start: int
    end: int
    guard: str | None = None


@dataclass(frozen=True)
class _Unit:
    start: int
    end: int
    label: SpanLabel
    item: Item | None = None
    barrier: bool = False


class TagPlacer:
    """Finds the runs of one source, whose outputs are not to be cut any more."""

    def __init__(
        self, source: str, items: list[Item], evidence: Evidence, environment: Environment, deep: bool
    ) -> None:
        self._source = source
        self._items = items
        self._evidence = evidence
        self._deep = deep
        self._names = variables(source, environment)
        self.unclear: list[Item] = []
        """What is generated in part, and cannot be cut."""

    def runs(self) -> list[TaggedRange]:
        """The runs, in the order of the source."""
        return sorted(self._runs(self._items, ()), key=lambda run: run.start)

    def _runs(self, items: list[Item], loops: tuple[Block, ...]) -> Iterator[TaggedRange]:
        units = [unit for item in items for unit in self._units(item, loops)]
        for label in dict.fromkeys(unit.label for unit in units):
            if label != ALL and label.guard is None:
                continue
            for stretch in self._stretches(units, label):
                start, end = stretch[0].start, stretch[-1].end
                yield TaggedRange(start, end, None if label.guard is None else self._written(label.guard, loops, start))
        for unit in units:
            if isinstance(unit.item, Block) and unit.barrier:
                inner = (*loops, unit.item) if unit.item.opening.name == "for" else loops
                for body in unit.item.bodies:
                    yield from self._runs(body, inner)
            elif unit.label == UNCLEAR and unit.item is not None:
                self.unclear.append(unit.item)

    def _stretches(self, units: list[_Unit], label: SpanLabel) -> Iterator[list[_Unit]]:
        stretch: list[_Unit] = []
        for unit in [*units, _Unit(0, 0, NONE, barrier=True)]:
            if not unit.barrier and unit.label in (label, UNSEEN):
                stretch.append(unit)
                continue
            yield from self._closed(stretch, label)
            stretch = []

    def _closed(self, stretch: list[_Unit], label: SpanLabel) -> Iterator[list[_Unit]]:
        """The stretch without what wrote nothing at its ends, and cut at assignments that are seen outside of it."""
        while stretch and stretch[0].label != label:
            stretch = stretch[1:]
        while stretch and stretch[-1].label != label:
            stretch = stretch[:-1]
        if not stretch:
            return
        start, end = stretch[0].start, stretch[-1].end
        for index, unit in enumerate(stretch):
            if unit.item is not None and self._leaks(unit.item, start, end):
                yield from self._closed(stretch[:index], label)
                yield from self._closed(stretch[index + 1 :], label)
                return
        yield stretch

    # -- units

    def _units(self, item: Item, loops: tuple[Block, ...]) -> Iterator[_Unit]:
        if isinstance(item, Text):
            for piece in labeled_parts(self._evidence, item, self._source):
                start = item.start + (piece.start or 0)
                end = item.start + piece.end if piece.end is not None else item.end
                yield _Unit(start, end, piece.label, item)
        elif isinstance(item, Statement):
            barrier = item.tag.name in ("break", "continue", "extends", "block")
            yield _Unit(item.start, item.end, UNSEEN, item, barrier)
        else:
            labels = labels_of(self._evidence, item, self._source)
            label = UNSEEN if not labels else labels.pop() if len(labels) == 1 else UNCLEAR
            if isinstance(item, Output):
                yield _Unit(item.start, item.end, label, item)
                return
            yield _Unit(item.start, item.end, label, item, self._goes_inside(item, label, loops))

    def _goes_inside(self, block: Block, label: SpanLabel, loops: tuple[Block, ...]) -> bool:
        """Whether tags are looked for inside of a block, rather than put around it."""
        if block.opening.name in _CLOSED:
            return self._deep and label != UNSEEN
        if label in (NONE, UNCLEAR):
            return label == UNCLEAR
        if label.guard is not None and (block.end - block.start > _LONGEST_COPY or not (loops or label.guard.anywhere)):
            return True
        return self._leaks(block, block.start, block.end) or self._jumps(block)

    def _jumps(self, block: Block) -> bool:
        """Whether a loop around the block is left from inside of it."""
        return any(
            isinstance(item, Statement) and item.tag.name in ("break", "continue") and not self._in_loop(block, item)
            for item in walk([block])
        )

    @staticmethod
    def _in_loop(block: Block, statement: Statement) -> bool:
        return any(
            isinstance(item, Block) and item.opening.name == "for" and item.start < statement.start < item.end
            for item in walk([block])
        )

    def _leaks(self, item: Item, start: int, end: int) -> bool:
        """Whether something is assigned in the item, and read outside of a stretch."""
        assigned = set(_assigned(item))
        return bool(assigned) and any(name in assigned for offset, name in self._names if not start <= offset < end)

    def _written(self, guard: Guard, loops: tuple[Block, ...], start: int) -> str:
        written = GuardPrinter(self._source, tuple(loop.opening.body for loop in loops)).print(guard)
        if written is None:
            line = self._source.count("\n", 0, start) + 1
            raise CannotAnnotate(Refusal.NO_CONDITION, {"line": line})
        return written


def _assigned(item: Item) -> Iterator[str]:
    """The variables that an item sets for what follows it."""
    if isinstance(item, Statement) and item.tag.name == "set":
        yield from re.findall(r"(?<![\w.])[A-Za-z_]\w*(?![\w.])", item.tag.body.partition("=")[0])
    elif isinstance(item, Statement) and item.tag.name in ("import", "from"):
        yield from re.findall(r"\w+", item.tag.body)
    elif isinstance(item, Block):
        if item.opening.name in ("macro", "set"):
            yield from re.findall(r"^\w+", item.opening.body)
        elif item.opening.name not in _SCOPES:
            for body in item.bodies:
                for inner in body:
                    yield from _assigned(inner)
