"""Each part of a source, cut where it has to be, and what of it is to be generated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from chattmpl.rewrite.annotate.evidence import Evidence, Seen
from chattmpl.rewrite.annotate.guards import Guard, guard_for
from chattmpl.rewrite.annotate.layout import Block, Item, Output, Part, Text


@dataclass(frozen=True)
class Share:
    """What of a part is to be generated.

    Attributes:
        what: all of it, nothing, or that depending on a condition; or that it wrote nothing; or that some of it is,
            and it cannot be cut.
        guard: the condition.
    """

    what: str
    guard: Guard | None = None


ALL, NONE, UNSEEN, UNCLEAR = Share("all"), Share("none"), Share("unseen"), Share("unclear")


@dataclass(frozen=True)
class Piece:
    """A part or, if it is a constant, a stretch of its value.

    Attributes:
        part: the part; a text is its own only part.
        start, end: the stretch, in characters of the value; None for a part that is no constant.
    """

    part: Part
    share: Share
    start: int | None = None
    end: int | None = None


def pieces_for(evidence: Evidence, part: Part) -> list[Piece]:
    """The pieces of a part, neighbours of one share joined."""
    every = _pieces(part, evidence.all_of(part.start))
    if every != [Piece(part, UNSEEN)] and all(piece.share != UNCLEAR for piece in every):
        return every
    pieces = _pieces(part, evidence.of(part.start))
    if evidence.guessed(part.start) and any(piece.share == UNCLEAR for piece in pieces):
        seen = evidence.of(part.start)
        some = any(one.inside for one in seen) and not any(one.foreign for one in seen)
        return [Piece(part, ALL if some else NONE)]
    return pieces


def _pieces(part: Part, seen: list[Seen]) -> list[Piece]:
    if part.constant is None or not seen:
        length = max((one.length for one in seen), default=0)
        return [Piece(part, _share(seen, 0, None) if length else UNSEEN)]
    length = len(part.constant)
    seen = [one for one in seen if one.length == length]
    edges = sorted({0, length, *(edge for one in seen for pair in one.inside for edge in pair)})
    pieces: list[Piece] = []
    for start, end in pairwise(edges):
        share = _share(seen, start, end)
        if pieces and pieces[-1].share == share:
            pieces[-1] = Piece(part, share, pieces[-1].start, end)
        else:
            pieces.append(Piece(part, share, start, end))
    return pieces or [Piece(part, UNSEEN)]


def pieces_of(evidence: Evidence, item: Text | Output, source: str) -> list[Piece]:
    """The pieces of all parts of an item."""
    if isinstance(item, Text):
        return pieces_for(evidence, Part(item.start, item.end, source[item.start : item.end]))
    whole = evidence.of(item.parts[0].start) if item.parts else []
    others = [one for part in item.parts[1:] for one in evidence.of(part.start)]
    if len(item.parts) > 1 and whole and not others:
        # It joins what are no texts, and was not taken apart.
        first, last = item.parts[0], item.parts[-1]
        return [Piece(Part(first.start, last.end), _share(whole, 0, None))]
    return [piece for part in item.parts for piece in pieces_for(evidence, part)]


def _share(seen: list[Seen], start: int, end: int | None) -> Share:
    held = {(one.facts, one.holds(start, one.length if end is None else end)) for one in seen}
    if not held:
        return UNSEEN
    if any(inside is None for _, inside in held):
        return UNCLEAR
    if len({inside for _, inside in held}) == 1:
        return ALL if held.pop()[1] else NONE
    guard = guard_for([(facts, bool(inside)) for facts, inside in held])
    return UNCLEAR if guard is None else Share("guarded", guard)


def share_of(evidence: Evidence, item: Item, source: str) -> set[Share]:
    """The shares of all that an item holds."""
    return {piece.share for piece in _all(evidence, item, source)} - {UNSEEN}


def _all(evidence: Evidence, item: Item, source: str) -> Iterator[Piece]:
    if isinstance(item, (Text, Output)):
        yield from pieces_of(evidence, item, source)
    elif isinstance(item, Block):
        captured = [one for part, found in _both(evidence) if item.start <= part < item.opening.end for one in found]
        if captured:
            yield Piece(Part(item.start, item.opening.end), _share(captured, 0, None))
        for body in item.bodies:
            for inner in body:
                yield from _all(evidence, inner, source)


def _both(evidence: Evidence) -> Iterator[tuple[int, list[Seen]]]:
    for part in evidence.parts():
        yield part, evidence.of(part)
