"""The proof that a template trains: a small model learns tasks in it, from scratch, and is measured."""

from __future__ import annotations

from chattmpl.training.prove.proof import prove
from chattmpl.training.prove.sizes import SIZES
from chattmpl.training.prove.verdict import Thresholds

__all__ = ["SIZES", "Thresholds", "prove"]
