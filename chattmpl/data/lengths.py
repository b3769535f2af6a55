"""Lengths of rows: percentiles, histograms, the cost of padding, and packing by best fit decreasing."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

PERCENTILES = (50, 90, 95, 99)

Lengths = Mapping[int, int]
"""Number of rows by length in tokens."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a histogram.

    Attributes:
        start, end: half-open range of lengths in tokens.
        rows: number of rows with such a length.
        tokens: their number of tokens.
    """

    start: int
    end: int
    rows: int
    tokens: int


def percentile(lengths: Lengths, percent: float) -> float:
    """Return a percentile (0 to 100) of at least one length, linearly interpolated as by ``numpy.percentile``."""
    rank = (sum(lengths.values()) - 1) * percent / 100
    below = int(rank)
    low, high = _at(lengths, below), _at(lengths, below + (rank > below))
    return low + (high - low) * (rank - below)


def _at(lengths: Lengths, rank: int) -> int:
    """Return the length of the row at a rank, from 0."""
    for length in sorted(lengths):
        rank -= lengths[length]
        if rank < 0:
            return length
    raise IndexError("there are fewer rows")


def edges(longest: int) -> Iterator[int]:
    """Yield the edges of the bars: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …, up to the first above the longest row."""
    yield from (0, 1)
    edge = 2
    while True:
        for start in (edge, edge * 3 // 2):
            yield start
            if start > longest:
                return
        edge *= 2


def histogram(lengths: Lengths) -> list[Bin]:
    """Return the bars from the shortest to the longest row, including empty ones."""
    if not lengths:
        return []
    bounds = list(edges(max(lengths)))
    bars: list[Bin] = []
    for start, end in pairwise(bounds):
        inside = [(length, count) for length, count in lengths.items() if start <= length < end]
        rows = sum(count for _, count in inside)
        if rows or bars:
            bars.append(Bin(start, end, rows, sum(length * count for length, count in inside)))
    return bars


# -- padding


def padded_random(lengths: Lengths, batch: int) -> float:
    """Return the number of tokens with padding of all batches in random order, as the mean over all orders.

    Each batch is padded to its longest row; the last one has the remaining rows. The mean is computed, not sampled:
    the longest row of a batch is at most n tokens long with the probability that no longer row was drawn.

    Args:
        lengths: number of rows by length.
        batch: rows of a batch.
    """
    known = np.array(sorted(lengths), dtype=np.float64)
    counts = np.array([lengths[int(length)] for length in known], dtype=np.int64)
    rows = int(counts.sum())
    whole, rest = divmod(rows, batch)
    total = 0.0
    for number, size in ((whole, batch), (1, rest)):
        if number and size:
            total += number * size * _mean_longest(known, np.cumsum(counts), rows, size)
    return total


def _mean_longest(known: np.ndarray, below: np.ndarray, rows: int, size: int) -> float:
    """Return the mean length of the longest of ``size`` rows that are drawn without replacement."""
    reached = np.ones(len(known))
    for drawn in range(size):
        reached *= np.clip(below - drawn, 0, None) / (rows - drawn)
    return float((known * np.diff(reached, prepend=0.0)).sum())


def padded_sorted(lengths: Lengths, batch: int) -> int:
    """Return the number of tokens with padding of all batches of rows sorted by length, the longest first."""
    known = np.array(sorted(lengths, reverse=True), dtype=np.int64)
    counts = np.cumsum([lengths[int(length)] for length in known])
    rows = int(counts[-1])
    firsts = np.arange(0, rows, batch)
    longest = known[np.searchsorted(counts, firsts, side="right")]
    return int((longest * np.minimum(batch, rows - firsts)).sum())


# -- packing


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Assign documents to rows; return the indices of the documents of each row.

    The longest document comes first. Each goes into the row with the least space that suffices; of several such rows,
    into the one that has had that space for longest. Rows are ordered by their first document, and documents by index.

    Args:
        lengths: number of tokens of each document, 1 to ``size``.
        size: maximum number of tokens of a row.

    Raises:
        ValueError: a document is longer than a row, or empty.
    """
    for length in lengths:
        if not 0 < length <= size:
            raise ValueError(f"a document of {length} tokens does not fit into rows of {size}")
    rows: list[list[int]] = []
    with_space: dict[int, deque[int]] = {}
    spaces = 0  # bit n is set if a row has space for n tokens
    for document in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[document]
        wide = spaces >> length
        if wide:
            space = length + (wide & -wide).bit_length() - 1
            waiting = with_space[space]
            row = waiting.popleft()
            if not waiting:
                spaces ^= 1 << space
        else:
            space, row = size, len(rows)
            rows.append([])
        rows[row].append(document)
        left = space - length
        if left:
            with_space.setdefault(left, deque()).append(row)
            spaces |= 1 << left
    return sorted(sorted(row) for row in rows)


def rows_needed(lengths: Sequence[int], size: int, window: int) -> int:
    """Return the number of rows if each window of documents is packed by itself, as in ``datasets.map``."""
    return sum(len(best_fit(lengths[at : at + window], size)) for at in range(0, len(lengths), window))


def packed_rows(lengths: Lengths, size: int) -> int:
    """Return the number of rows of ``size`` tokens from `best_fit`; a longer row counts as ``size`` tokens.

    The result depends on the counts alone, so rows of one length are placed together: the row with the least space
    that suffices is filled with as many as fit.
    """
    documents: Counter[int] = Counter()
    for length, count in lengths.items():
        if length:
            documents[min(length, size)] += count
    made = 0
    spaces: Counter[int] = Counter()
    for length in sorted(documents, reverse=True):
        left = documents[length]
        while left:
            space = min((space for space in spaces if space >= length), default=0)
            each = (space or size) // length
            # Full rows at once; then one row with the rest.
            rows, put = (left // each, each) if left >= each else (1, left)
            if space:
                rows = min(rows, spaces[space])
                spaces[space] -= rows
                spaces += Counter()  # drops zeros
            else:
                made += rows
            spaces[(space or size) - put * length] += rows
            left -= rows * put
        del spaces[0]
    return made
