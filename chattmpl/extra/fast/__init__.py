"""The fast path: rendering without provenance, encoding many texts at once, and masks by numpy.

It is used only where it was seen to give what the exact path gives, and row by row only where nothing speaks against
it.
"""

from __future__ import annotations

from chattmpl.extra.fast.lowering import Unfit
from chattmpl.extra.fast.opening import Choices, Verdict, open_fast_path
from chattmpl.extra.fast.path import FastBatch, FastPath
from chattmpl.extra.fast.rows import Prepared, prepare

__all__ = ["Choices", "FastBatch", "FastPath", "Prepared", "Unfit", "Verdict", "open_fast_path", "prepare"]
