"""The proof that a template trains: a small model learns tasks in it from scratch, and is measured."""

from chattmpl.training.prove.models import SIZES
from chattmpl.training.prove.proof import Thresholds, prove

__all__ = ["SIZES", "Thresholds", "prove"]
