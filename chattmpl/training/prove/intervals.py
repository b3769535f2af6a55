"""Shares with their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Z = 1.959963984540054
"""For intervals that hold the true share 95 times of 100."""


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    @classmethod
    def counted(cls, outcomes: Iterable[bool]) -> Share:
        """The share of outcomes that are true."""
        each = list(outcomes)
        return cls(sum(each), len(each))

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at 95 %."""
        if not self.of:
            return 0.0, 1.0
        share, weight = self.count / self.of, Z * Z / self.of
        middle = share + weight / 2
        spread = Z * math.sqrt(share * (1 - share) / self.of + weight / (4 * self.of))
        return max(0.0, (middle - spread) / (1 + weight)), min(1.0, (middle + spread) / (1 + weight))

    def to_dict(self) -> dict[str, Any]:
        """The share as JSON."""
        low, high = self.interval
        return {"count": self.count, "of": self.of, "share": self.value, "low": low, "high": high}
