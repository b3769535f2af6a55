"""The fast path: rendering without provenance, encoding many texts at once, and masks by numpy.

It is used only where it was seen to give what the exact path gives, and row by row only where nothing speaks against
it.
"""

from __future__ import annotations

from chattmpl.data.fast.factory import Choices, Verdict, open_fast_path
from chattmpl.data.fast.markers import Unfit
from chattmpl.data.fast.path import FastBatch, FastPath
from chattmpl.data.fast.rows import Prepared, prepare

__all__ = ["Choices", "FastBatch", "FastPath", "Prepared", "Unfit", "Verdict", "open_fast_path", "prepare"]
