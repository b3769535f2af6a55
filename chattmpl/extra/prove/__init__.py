"""The proof that a template trains: a small model learns tasks in it, from scratch, and is measured."""

from __future__ import annotations

from chattmpl.extra.prove.proving import prove
from chattmpl.extra.prove.sizes import SIZES
from chattmpl.extra.prove.verdict import Thresholds

__all__ = ["SIZES", "Thresholds", "prove"]
