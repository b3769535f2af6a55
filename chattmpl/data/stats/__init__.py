"""Statistics of datasets: examples and tokens by source and reasoning mode, lengths, and the cost of padding."""

from __future__ import annotations

from chattmpl.data.stats.figures import BATCH_SIZES, RowGroup, Stats, stats
from chattmpl.data.stats.lengths import histogram, packed_rows, padded_random, padded_sorted, percentile

__all__ = [
    "BATCH_SIZES",
    "RowGroup",
    "Stats",
    "histogram",
    "packed_rows",
    "padded_random",
    "padded_sorted",
    "percentile",
    "stats",
]
