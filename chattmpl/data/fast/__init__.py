"""The fast path: rendering without provenance, encoding many texts at once, and masks by numpy.

It is used only after it gave the same results as the exact path, and only for rows that raise no doubt.
"""

from __future__ import annotations

from chattmpl.data.fast.markers import Unsupported
from chattmpl.data.fast.path import FastBatch, FastPath
from chattmpl.data.fast.rows import PreparedRow, prepare_row
from chattmpl.data.fast.verify import ExactResult, FastPathOptions, FastPathVerdict, describe_difference, open_fast_path

__all__ = [
    "ExactResult",
    "FastBatch",
    "FastPath",
    "FastPathOptions",
    "FastPathVerdict",
    "PreparedRow",
    "Unsupported",
    "describe_difference",
    "open_fast_path",
    "prepare_row",
]
