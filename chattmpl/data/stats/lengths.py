"""Lengths of rows as counts: exact percentiles and histograms, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

PERCENTILES = (50, 90, 95, 99)

Lengths = Mapping[int, int]
"""How many rows there are of each length, in tokens."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a histogram.

    Attributes:
        start, end: lengths in tokens, half-open.
        examples: how many rows have such a length.
        tokens: how many tokens they have together.
    """

    start: int
    end: int
    examples: int
    tokens: int


def percentile(lengths: Lengths, percent: float) -> float:
    """The length that so many percent of the rows reach at most; between two rows it is interpolated linearly.

    This is what ``numpy.percentile`` gives of the list of all lengths.

    Args:
        lengths: at least one row.
        percent: 0 to 100.
    """
    rank = (sum(lengths.values()) - 1) * percent / 100
    below = int(rank)
    low, high = _at(lengths, below), _at(lengths, below + (rank > below))
    return low + (high - low) * (rank - below)


def _at(lengths: Lengths, rank: int) -> int:
    """The length of the row of this rank, from 0."""
    for length in sorted(lengths):
        rank -= lengths[length]
        if rank < 0:
            return length
    raise IndexError("there are fewer rows")


def edges(longest: int) -> Iterator[int]:
    """The edges of the bars: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …, up to the first above the longest row."""
    yield from (0, 1)
    edge = 2
    while True:
        for start in (edge, edge * 3 // 2):
            yield start
            if start > longest:
                return
        edge *= 2


def histogram(lengths: Lengths) -> list[Bin]:
    """The bars from the shortest row to the longest, empty ones between them included."""
    if not lengths:
        return []
    bounds = list(edges(max(lengths)))
    bars: list[Bin] = []
    for start, end in pairwise(bounds):
        inside = [(length, count) for length, count in lengths.items() if start <= length < end]
        examples = sum(count for _, count in inside)
        if examples or bars:
            bars.append(Bin(start, end, examples, sum(length * count for length, count in inside)))
    return bars
