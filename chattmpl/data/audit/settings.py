"""Thresholds of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chattmpl.errors import UsageError


@dataclass(frozen=True)
class AuditSettings:
    """The thresholds.

    Attributes:
        max_length: the most tokens of a row in training; None if there is no limit.
        share_ratio: the ratio of a source's share of tokens to its share of examples, or the inverse, to report.
        share_points: the smallest difference of the two shares to report.
        hybrid: whether the data should have both reasoning modes; None to derive it from the data.
        examples: the most examples of a finding.
        tolerated: by code, the share of rows up to which a finding is only a note.
    """

    max_length: int | None = None
    share_ratio: float = 2.0
    share_points: float = 0.05
    hybrid: bool | None = None
    examples: int = 5
    tolerated: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise UsageError(f"max_length must be at least 1, not {self.max_length}", option="max_length")
        if self.share_ratio < 1:
            raise UsageError(f"share_ratio must be at least 1, not {self.share_ratio}", option="share_ratio")
        if self.examples < 0:
            raise UsageError(f"examples must be at least 0, not {self.examples}", option="examples")
