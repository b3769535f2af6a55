"""What an encoder did, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Counts of one encoder in one process; counts of several add up.

    Attributes:
        rows: conversations that gave a row.
        fast: of these, by the renderer that rendered them on the fast path.
        exact: of these, and of those rejected, the ones that took the exact path, by reason.
        rejected: conversations that gave no row, by reason.
        checked: rows of the fast path that were encoded by the exact one as well, to compare.
        disagreements: what was found to differ in them.
        engine: what encodes on the fast path; None if there is none.
        notes: what of the fast path is not used, and why.
    """

    rows: int = 0
    fast: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    disagreements: list[str] = field(default_factory=list)
    engine: str | None = None
    notes: tuple[str, ...] = ()

    def add(self, other: Report) -> None:
        """Adds what another encoder, such as that of another process, did."""
        self.rows += other.rows
        self.fast += other.fast
        self.exact += other.exact
        self.rejected += other.rejected
        self.checked += other.checked
        self.disagreements += other.disagreements
        self.engine = self.engine or other.engine
        self.notes = tuple(dict.fromkeys((*self.notes, *other.notes)))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "rows": self.rows,
            "fast": dict(self.fast),
            "exact": dict(self.exact),
            "rejected": dict(self.rejected),
            "checked": self.checked,
            "disagreements": list(self.disagreements),
            "engine": self.engine,
            "notes": list(self.notes),
        }
