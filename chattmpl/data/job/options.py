"""Options of encode jobs, and the number of rejected rows that is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from chattmpl.data.writers import dataset_columns
from chattmpl.errors import UsageError
from chattmpl.options import (
    OPTIONS,
    Arguments,
    ControlTokenChoice,
    Fast,
    Format,
    MaskChoice,
    MaskSource,
    Overflow,
    RowChoice,
    Shape,
    StraddleChoice,
    check_options,
)


class EncodingOptions(TypedDict, total=False):
    """Options for encoding rows.

    Attributes:
        shape: the shape of the rows, if their keys do not show it.
        template_kwargs: variables of the template; they override those of the rows.
        clock: the time of ``strftime_now``.
        straddle, control_tokens, mask: see `chattmpl.encode.encode`.
        rows, mask_from: see `chattmpl.data.encoder.Encoder`.
        arguments: ``decode`` parses arguments of tool calls that are a string of JSON.
        fast: ``auto``, ``require`` or ``off``; see `chattmpl.data.encoder.Encoder`.
    """

    shape: Shape | None
    template_kwargs: Mapping[str, Any]
    clock: datetime | None
    straddle: StraddleChoice
    control_tokens: ControlTokenChoice
    mask: MaskChoice
    rows: RowChoice
    mask_from: MaskSource
    arguments: Arguments
    fast: Fast


class RowOptions(EncodingOptions, total=False):
    """Options for making rows from conversations.

    Attributes:
        max_length: maximum number of tokens of a row.
        overflow: treatment of longer rows: ``truncate-turns``, ``reject``, ``truncate-tokens`` or ``split``.
        pack: number of tokens of a packed row.
        columns: columns to write besides ``input_ids``.
    """

    max_length: int | None
    overflow: Overflow
    pack: int | None
    columns: Sequence[str]


class ScanOptions(EncodingOptions, total=False):
    """Options for encoding a dataset without writing rows.

    Attributes:
        seed: seed for sampling from a mixture; overrides the mixture's.
        limit: maximum number of rows of each source.
    """

    seed: int | None
    limit: int | None


class JobOptions(RowOptions, ScanOptions, total=False):
    """Options for encoding a dataset; see `EncodingOptions`, `RowOptions` and `ScanOptions`."""


@dataclass(frozen=True)
class Options:
    """The options of an encode job; see `JobOptions`. ``form`` is the format of its files.

    Raises:
        UsageError: a value is not one of the choices, or options contradict each other.
    """

    shape: Shape | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    clock: datetime | None = None
    straddle: StraddleChoice = "split"
    control_tokens: ControlTokenChoice = "escape"
    mask: MaskChoice = "all"
    rows: RowChoice = "auto"
    mask_from: MaskSource = "law"
    arguments: Arguments = "keep"
    max_length: int | None = None
    overflow: Overflow = "truncate-turns"
    pack: int | None = None
    columns: Sequence[str] = ("labels",)
    form: Format = "parquet"
    fast: Fast = "auto"
    seed: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        check_options(**{name: getattr(self, name) for name in OPTIONS if hasattr(self, name)})
        if self.pack is not None and self.max_length is not None and self.max_length > self.pack:
            raise UsageError(
                f"max_length {self.max_length} is more than the {self.pack} tokens of a packed row",
                option="max_length",
                hint="drop max_length: by default it is pack",
            )
        dataset_columns(self.columns, packed=self.pack is not None)

    @property
    def longest(self) -> int | None:
        """Maximum number of tokens of a document."""
        return self.pack if self.max_length is None else self.max_length

    @property
    def one_row(self) -> bool:
        """True if all answers of a conversation are trained in one row."""
        return self.rows == "one" and self.mask != "last"

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of the dataset, in order."""
        return dataset_columns(self.columns, packed=self.pack is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the options that change what is written, as JSON."""
        values = {name: value for name, value in vars(self).items() if name not in ("fast", "form", "seed")}
        return {
            **values,
            "template_kwargs": dict(self.template_kwargs),
            "clock": None if self.clock is None else self.clock.isoformat(),
            "max_length": self.longest,
            "columns": list(self.all_columns),
            "format": self.form,
        }


@dataclass(frozen=True, slots=True)
class RejectionLimit:
    """Maximum number of rejected rows: a number, or a share of all rows."""

    rows: int = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str | int) -> RejectionLimit:
        """Parse ``"10"`` or ``"1%"``; raise `UsageError` if the text is neither a number nor a percentage."""
        given = str(text).strip()
        try:
            if given.endswith("%"):
                share = float(given[:-1]) / 100
                if 0 <= share <= 1:
                    return cls(share=share)
            elif int(given) >= 0:
                return cls(rows=int(given))
        except ValueError:
            pass
        raise UsageError(f"{given!r} is neither a number of rows nor a percentage", hint="as in 10 or 1%")

    def is_exceeded(self, rejected: int, rows: int) -> bool:
        """Return true if more rows than allowed were rejected."""
        return rejected > (self.rows if self.share is None else self.share * rows)
