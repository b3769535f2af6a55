"""What a job of encoding is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral
from typing import Any, Literal, get_args

from chattmpl.conversation.shapes import SHAPES, Shape
from chattmpl.data.overflow import OVERFLOWS, Overflow
from chattmpl.data.writers import FORMATS, Format, columns_named
from chattmpl.encode.encoder import ControlTokenChoice
from chattmpl.encode.mask import MaskChoice, StraddleChoice
from chattmpl.errors import UsageError, did_you_mean

Fast = Literal["auto", "require", "off"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "straddle": get_args(StraddleChoice),
    "control_tokens": get_args(ControlTokenChoice),
    "mask": get_args(MaskChoice),
    "overflow": tuple(OVERFLOWS),
    "form": tuple(FORMATS),
    "fast": get_args(Fast),
}


@dataclass(frozen=True)
class Options:
    """The options of `chattmpl.data.job.encode`, which tells what each means."""

    shape: Shape | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    clock: datetime | None = None
    straddle: str = "include"
    control_tokens: str = "escape"
    mask: str = "all"
    max_length: int | None = None
    overflow: Overflow = "truncate-turns"
    unroll: bool = False
    pack: int | None = None
    columns: Sequence[str] = ("labels",)
    form: Format = "parquet"
    fast: Fast = "auto"
    seed: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _one_of(name, getattr(self, name), known)
        if self.shape is not None:
            _one_of("shape", self.shape, SHAPES)
        for name in ("max_length", "pack", "limit"):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, Integral)):
                raise UsageError(f"{name} cannot be {number!r}: it is a whole number", option=name, hint="as in 4096")
            if number is not None and number < 1:
                raise UsageError(f"{name} is at least 1, not {number}", option=name)
        if self.pack is not None and self.max_length is not None and self.max_length > self.pack:
            raise UsageError(
                f"max_length {self.max_length} is more than the {self.pack} tokens of a packed row",
                option="max_length",
                hint="drop max_length: it is then what pack says",
            )
        columns_named(self.columns, packed=self.pack is not None)

    @property
    def longest(self) -> int | None:
        """Most tokens of a sample."""
        return self.pack if self.max_length is None else self.max_length

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of the data set, in their order."""
        return columns_named(self.columns, packed=self.pack is not None)

    def said(self) -> dict[str, Any]:
        """The options that change what is written, as JSON."""
        return {
            "shape": self.shape,
            "template_kwargs": dict(self.template_kwargs),
            "clock": None if self.clock is None else self.clock.isoformat(),
            "straddle": self.straddle,
            "control_tokens": self.control_tokens,
            "mask": self.mask,
            "max_length": self.longest,
            "overflow": self.overflow,
            "unroll": self.unroll,
            "pack": self.pack,
            "columns": list(self.all_columns),
            "format": self.form,
            "limit": self.limit,
        }


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else None
        raise UsageError(f"{name} cannot be {value!r}: it is one of {', '.join(known)}", option=name, hint=hint)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many rows may be refused: a number, or a part of all rows."""

    rows: int = 0
    part: float | None = None

    @classmethod
    def parse(cls, text: str | int) -> Allowance:
        """From ``"10"`` or ``"1%"``.

        Raises:
            UsageError: it is neither.
        """
        said = str(text).strip()
        try:
            if said.endswith("%"):
                part = float(said[:-1]) / 100
                if 0 <= part <= 1:
                    return cls(part=part)
            elif int(said) >= 0:
                return cls(rows=int(said))
        except ValueError:
            pass
        raise UsageError(f"{said!r} is no number of rows and no part of them", hint="as in 10 or 1%")

    def exceeded(self, refused: int, rows: int) -> bool:
        """Whether more were refused."""
        return refused > (self.rows if self.part is None else self.part * rows)
