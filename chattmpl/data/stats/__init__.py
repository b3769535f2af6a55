"""Figures of data sets: examples and tokens by source and reasoning mode, lengths, and what padding costs."""

from __future__ import annotations

from chattmpl.data.stats.figures import BATCH_SIZES, Stats, stats
from chattmpl.data.stats.groups import Group
from chattmpl.data.stats.lengths import histogram, percentile
from chattmpl.data.stats.padding import packed_rows, padded_random, padded_sorted

__all__ = [
    "BATCH_SIZES",
    "Group",
    "Stats",
    "histogram",
    "packed_rows",
    "padded_random",
    "padded_sorted",
    "percentile",
    "stats",
]
