"""What an audit is asked to look for, and how much of it is too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chattmpl.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """The thresholds.

    Attributes:
        max_length: most tokens of a row in training; None if there is no limit.
        share_ratio: how many times a source's share of tokens may be its share of examples, or the other way round.
        share_points: how far apart the two must be, as a part of all, to be worth a word.
        hybrid: whether the data are meant to have both reasoning modes; None if that is to be seen from the data.
        examples: how many places a finding names.
        tolerated: by code the share of rows up to which a finding is information only.
    """

    max_length: int | None = None
    share_ratio: float = 2.0
    share_points: float = 0.05
    hybrid: bool | None = None
    examples: int = 5
    tolerated: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise UsageError(f"max_length is at least 1, not {self.max_length}")
        if self.share_ratio < 1:
            raise UsageError(f"share_ratio is at least 1, not {self.share_ratio}")
        if self.examples < 0:
            raise UsageError(f"examples is at least 0, not {self.examples}")
