"""From characters to tokens: one overlap rule, and the tokens across an edge."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Literal

from chattmpl.encode.encoding import Straddle
from chattmpl.encode.offsets import Ranges
from chattmpl.encode.span_index import Piece

Straddling = Literal["include", "exclude", "error", "split"]


def mask(ranges: Ranges, trained: Sequence[Piece], straddle: Straddling) -> list[int]:
    """1 for each token that overlaps a trained range; with ``exclude``, for each that is wholly inside one."""
    starts, ends = ranges
    result = [0] * len(starts)
    for start, end, _ in trained:
        if straddle == "exclude":
            first, last = bisect.bisect_left(starts, start), bisect.bisect_right(ends, end)
        else:
            first, last = bisect.bisect_right(ends, start), bisect.bisect_left(starts, end)
        if last > first:
            result[first:last] = [1] * (last - first)
    return result


def edges(
    generated: Sequence[Piece], trained: Sequence[Piece]
) -> dict[int, tuple[Literal["start", "end"], int | None]]:
    """Where generated or trained text starts or ends, in order: the side, and the turn that is generated there."""
    found: dict[int, tuple[Literal["start", "end"], int | None]] = {}
    for start, end, turn in (*generated, *trained):
        found.setdefault(start, ("start", turn))
        found.setdefault(end, ("end", turn))
    return dict(sorted(found.items()))


def straddles(
    text: str, ranges: Ranges, at: dict[int, tuple[Literal["start", "end"], int | None]]
) -> Iterator[Straddle]:
    """The tokens that have characters on both sides of an edge."""
    starts, ends = ranges
    for edge, (side, turn) in at.items():
        token = bisect.bisect_right(ends, edge)
        while token < len(starts) and starts[token] < edge:
            covered = text[starts[token] : ends[token]]
            yield Straddle(token, starts[token], ends[token], edge, side, covered, turn)
            token += 1


def index_of(ranges: Ranges, turns: Sequence[tuple[int, int | None]]) -> list[int | None]:
    """For each token the turn of the character that it starts with."""
    starts, _ = ranges
    if not turns:
        return [None] * len(starts)
    result: list[int | None] = []
    firsts = [bisect.bisect_left(starts, start) for start, _ in turns[1:]]
    for (_, turn), last in zip(turns, [*firsts, len(starts)], strict=True):
        result += [turn] * (last - len(result))
    return result
