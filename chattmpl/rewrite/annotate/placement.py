"""Places of the tags: the longest ranges of neighbours that are wholly generated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.guards import Guard, GuardPrinter
from chattmpl.rewrite.annotate.span_labels import (
    ALL,
    NONE,
    UNCLEAR,
    UNSEEN,
    SpanLabel,
    content,
    labeled_parts,
    labels_of,
)
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.syntax.items import CAPTURING, Block, Item, Output, Tag, Text, assignments
from chattmpl.syntax.tree import Tree


@dataclass(frozen=True)
class TaggedRange:
    """A range of the source whose text should be generated.

    Attributes:
        start, end: half-open range in characters.
        guard: the condition in Jinja under which it is generated; None if it always is.
        negated: whether it is generated where the condition does not hold.
    """

    start: int
    end: int
    guard: str | None = None
    negated: bool = False


@dataclass(frozen=True)
class _Unit:
    start: int
    end: int
    label: SpanLabel
    item: Item | None = None
    barrier: bool = False


class TagPlacer:
    """Finds the ranges to enclose in tags, in a template whose outputs are split."""

    def __init__(self, tree: Tree, evidence: Evidence, deep: bool) -> None:
        self._tree = tree
        self._evidence = evidence
        self._deep = deep
        self.unclear: list[Item] = []
        """Items that write sampled and other text, and cannot be split."""

    def runs(self) -> list[TaggedRange]:
        """Return the ranges in the order of the source."""
        return sorted(self._runs(self._tree.body, ()), key=lambda run: run.start)

    def _runs(self, body: Sequence[Item], loops: tuple[Block, ...]) -> Iterator[TaggedRange]:
        units = self._joined([unit for item in content(body) for unit in self._units(item, loops)])
        for label in dict.fromkeys(unit.label for unit in units):
            if label != ALL and label.guard is None:
                continue
            for stretch in self._stretches(units, label):
                start, end = stretch[0].start, stretch[-1].end
                if label.guard is None:
                    yield TaggedRange(start, end)
                else:
                    guard = label.guard.opposite if label.guard.negative else label.guard
                    yield TaggedRange(start, end, self._written(guard, loops, start), label.guard.negative)
        for unit in units:
            if isinstance(unit.item, Block) and unit.barrier:
                inner = (*loops, unit.item) if unit.item.name == "for" else loops
                for inside in unit.item.bodies:
                    yield from self._runs(inside, inner)
            elif unit.label == UNCLEAR and unit.item is not None:
                self.unclear.append(unit.item)

    def _joined(self, units: list[_Unit]) -> list[_Unit]:
        """Return the units, with those between two of one condition under it too if it held whenever they wrote."""
        made = list(units)
        last = None
        for index, unit in enumerate(units):
            guard = None if last is None else units[last].label.guard
            if unit.barrier or not (unit.label in (ALL, UNSEEN) or unit.label.guard):
                last = None
            elif unit.label.guard is not None:
                if unit.label.guard == guard and last is not None:
                    made[last:index] = [replace(each, label=unit.label) for each in units[last:index]]
                last = index
            elif guard is not None and unit.label == ALL and not self._always(guard, unit):
                last = None
        return made

    def _always(self, guard: Guard, unit: _Unit) -> bool:
        """Return whether a condition held whenever a unit wrote something."""
        parts = (part for part in self._evidence.parts() if unit.start <= part < unit.end)
        return all(guard.holds(one.facts) for part in parts for one in self._evidence.of(part))

    def _stretches(self, units: list[_Unit], label: SpanLabel) -> Iterator[list[_Unit]]:
        stretch: list[_Unit] = []
        for unit in [*units, _Unit(0, 0, NONE, barrier=True)]:
            if not unit.barrier and unit.label in (label, UNSEEN):
                stretch.append(unit)
                continue
            yield from self._closed(stretch, label)
            stretch = []

    def _closed(self, stretch: list[_Unit], label: SpanLabel) -> Iterator[list[_Unit]]:
        """Yield the stretch without unseen units at its ends, cut at assignments that are read outside of it."""
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

    def _units(self, item: Text | Output | Tag | Block, loops: tuple[Block, ...]) -> Iterator[_Unit]:
        if isinstance(item, Text):
            for piece in labeled_parts(self._evidence, item):
                start = item.start + (piece.start or 0)
                end = item.start + piece.end if piece.end is not None else item.end
                yield _Unit(start, end, piece.label, item)
        elif isinstance(item, Tag):
            barrier = item.name in ("break", "continue", "extends", "block")
            yield _Unit(item.start, item.end, UNSEEN, item, barrier)
        else:
            labels = labels_of(self._evidence, item)
            label = UNSEEN if not labels else labels.pop() if len(labels) == 1 else UNCLEAR
            if isinstance(item, Output):
                yield _Unit(item.start, item.end, label, item)
                return
            yield _Unit(item.start, item.end, label, item, self._goes_inside(item, label, loops))

    def _goes_inside(self, block: Block, label: SpanLabel, loops: tuple[Block, ...]) -> bool:
        """Return whether tags go inside a block rather than around it."""
        if block.name in CAPTURING:
            return self._deep and label != UNSEEN
        if label in (NONE, UNCLEAR):
            return label == UNCLEAR
        if label.guard is not None and not (loops or label.guard.anywhere):
            return True
        return self._leaks(block, block.start, block.end) or bool(block.jumps)

    def _leaks(self, item: Item, start: int, end: int) -> bool:
        """Return whether a variable is assigned in the item and read outside of a stretch."""
        assigned = {name.name for name in assignments([item])}
        return any(use.name in assigned for use in self._tree.variables if not start <= use.start < end)

    def _written(self, guard: Guard, loops: tuple[Block, ...], start: int) -> str:
        written = GuardPrinter(self._tree, loops, self._evidence.trace_key).print(guard)
        if written is None:
            line = self._tree.source.count("\n", 0, start) + 1
            raise CannotAnnotate(Refusal.NO_CONDITION, {"line": line})
        return written
