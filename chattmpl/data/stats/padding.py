"""What padding costs, from the counts of lengths: in random batches, in sorted ones, and packed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from chattmpl.data.stats.lengths import Lengths


def padded_random(lengths: Lengths, batch: int) -> float:
    """The tokens of all batches with their padding, where rows are in random order: the mean over all orders.

    Each batch is padded to its longest row; the last one holds what is left over. It is computed, not sampled: a row
    of a batch is at most so long with the probability that none of the longer rows was drawn.

    Args:
        lengths: of the rows.
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
    """The mean of the longest of ``size`` rows that are drawn without putting any back."""
    reached = np.ones(len(known))
    for drawn in range(size):
        reached *= np.clip(below - drawn, 0, None) / (rows - drawn)
    return float((known * np.diff(reached, prepend=0.0)).sum())


def padded_sorted(lengths: Lengths, batch: int) -> int:
    """The tokens of all batches with their padding, where rows are sorted by length, the longest first."""
    known = np.array(sorted(lengths, reverse=True), dtype=np.int64)
    counts = np.cumsum([lengths[int(length)] for length in known])
    rows = int(counts[-1])
    firsts = np.arange(0, rows, batch)
    longest = known[np.searchsorted(counts, firsts, side="right")]
    return int((longest * np.minimum(batch, rows - firsts)).sum())


def packed_rows(lengths: Lengths, size: int) -> int:
    """How many rows of ``size`` tokens best fit decreasing makes; a longer row counts as one of ``size`` tokens.

    The number depends on the counts alone, so rows of one length are placed together: the row with the least space
    that takes one is filled with as many as go in.
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
            # Whole rows at once; then one row with what is left over.
            rows, put = (left // each, each) if left >= each else (1, left)
            if space:
                rows = min(rows, spaces[space])
                spaces[space] -= rows
                spaces += Counter()  # drops what is zero
            else:
                made += rows
            spaces[(space or size) - put * length] += rows
            left -= rows * put
        del spaces[0]
    return made
