"""Each part of a source, cut where it has to be, and what of it is to be generated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from chattmpl.rewrite.annotate.evidence import Evidence, Observation
from chattmpl.rewrite.annotate.guards import Guard, guard_for
from chattmpl.rewrite.annotate.layout import Block, Item, Output, Part, Text


@dataclass(frozen=True)
class SpanLabel:
    """What of a part is to be generated.

    Attributes:
        what: all of it, nothing, or that depending on a condition; or that it wrote nothing; or that some of it is,
            and it cannot be cut.
        guard: the condition.
    """

    what: str
    guard: Guard | None = None


ALL, NONE, UNSEEN, UNCLEAR = SpanLabel("all"), SpanLabel("none"), SpanLabel("unseen"), SpanLabel("unclear")


@dataclass(frozen=True)
class LabeledPart:
    """A part or, if it is a constant, a stretch of its value.

    Attributes:
        part: the part; a text is its own only part.
        start, end: the stretch, in characters of the value; None for a part that is no constant.
    """

    part: Part
    label: SpanLabel
    start: int | None = None
    end: int | None = None


def label_part(evidence: Evidence, part: Part) -> list[LabeledPart]:
    """The pieces of a part, neighbours of one label joined."""
    every = _pieces(part, evidence.all_of(part.start))
    if every != [LabeledPart(part, UNSEEN)] and all(piece.label != UNCLEAR for piece in every):
        return every
    pieces = _pieces(part, evidence.of(part.start))
    if evidence.guessed(part.start) and any(piece.label == UNCLEAR for piece in pieces):
        seen = evidence.of(part.start)
        some = any(one.inside for one in seen) and not any(one.foreign for one in seen)
        return [LabeledPart(part, ALL if some else NONE)]
    return pieces


def _pieces(part: Part, seen: list[Observation]) -> list[LabeledPart]:
    if part.constant is None or not seen:
        length = max((one.length for one in seen), default=0)
        return [LabeledPart(part, _label(seen, 0, None) if length else UNSEEN)]
    length = len(part.constant)
    seen = [one for one in seen if one.length == length]
    edges = sorted({0, length, *(edge for one in seen for pair in one.inside for edge in pair)})
    pieces: list[LabeledPart] = []
    for start, end in pairwise(edges):
        label = _label(seen, start, end)
        if pieces and pieces[-1].label == label:
            pieces[-1] = LabeledPart(part, label, pieces[-1].start, end)
        else:
            pieces.append(LabeledPart(part, label, start, end))
    return pieces or [LabeledPart(part, UNSEEN)]


def labeled_parts(evidence: Evidence, item: Text | Output, source: str) -> list[LabeledPart]:
    """The pieces of all parts of an item."""
    if isinstance(item, Text):
        return label_part(evidence, Part(item.start, item.end, source[item.start : item.end]))
    whole = evidence.of(item.parts[0].start) if item.parts else []
    others = [one for part in item.parts[1:] for one in evidence.of(part.start)]
    if len(item.parts) > 1 and whole and not others:
        # It joins what are no texts, and was not taken apart.
        first, last = item.parts[0], item.parts[-1]
        return [LabeledPart(Part(first.start, last.end), _label(whole, 0, None))]
    return [piece for part in item.parts for piece in label_part(evidence, part)]


def _label(seen: list[Observation], start: int, end: int | None) -> SpanLabel:
    held = {(one.facts, one.holds(start, one.length if end is None else end)) for one in seen}
    if not held:
        return UNSEEN
    if any(inside is None for _, inside in held):
        return UNCLEAR
    if len({inside for _, inside in held}) == 1:
        return ALL if held.pop()[1] else NONE
    guard = guard_for([(facts, bool(inside)) for facts, inside in held])
    return UNCLEAR if guard is None else SpanLabel("guarded", guard)


def labels_of(evidence: Evidence, item: Item, source: str) -> set[SpanLabel]:
    """The labels of all that an item holds."""
    return {piece.label for piece in _all(evidence, item, source)} - {UNSEEN}


def _all(evidence: Evidence, item: Item, source: str) -> Iterator[LabeledPart]:
    if isinstance(item, (Text, Output)):
        yield from labeled_parts(evidence, item, source)
    elif isinstance(item, Block):
        captured = [one for part, found in _both(evidence) if item.start <= part < item.opening.end for one in found]
        if captured:
            yield LabeledPart(Part(item.start, item.opening.end), _label(captured, 0, None))
        for body in item.bodies:
            for inner in body:
                yield from _all(evidence, inner, source)


def _both(evidence: Evidence) -> Iterator[tuple[int, list[Observation]]]:
    for part in evidence.parts():
        yield part, evidence.of(part)
