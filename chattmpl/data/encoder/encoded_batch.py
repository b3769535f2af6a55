"""Many rows as few arrays, so that they can be written without a step in Python for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from chattmpl.data.encoder.row import Rejected, Row

IGNORED = -100
"""The label of a token that is not trained, as trainers have it."""


@dataclass(frozen=True)
class Encoded:
    """The rows of some conversations.

    Attributes:
        count: how many conversations there were.
        kept: index of the conversation of each row, in order.
        input_ids: the tokens of all rows, one row behind the other, int32.
        mask: 1 for each token that is trained, else 0, uint8.
        offsets: ``len(kept) + 1`` offsets of the rows in them, int64.
        straddles, escaped: for each row; see `Row`.
        rejected: the conversations that gave no row, by index.
        extras: for each row the optional attributes that were asked for.
    """

    count: int
    kept: list[int]
    input_ids: Any
    mask: Any
    offsets: Any
    straddles: Any
    escaped: Any
    rejected: dict[int, Rejected]
    extras: Sequence[dict[str, Any]] = field(default=())

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def lengths(self) -> Any:
        """The number of tokens of each row."""
        return np.diff(self.offsets)

    @property
    def trained(self) -> Any:
        """The number of trained tokens of each row."""
        sums = np.concatenate(([0], np.cumsum(self.mask, dtype=np.int64)))
        return np.diff(sums[self.offsets])

    def labels(self, ignore_index: int = IGNORED) -> Any:
        """The ids of all rows where they are trained, else ``ignore_index``."""
        return np.where(self.mask, self.input_ids, np.int32(ignore_index))

    def split(self, values: Any) -> list[Any]:
        """Values that stand for the tokens of all rows, cut into rows, without a copy."""
        bounds = self.offsets.tolist()
        return [values[start:end] for start, end in pairwise(bounds)]

    def rows(self) -> list[Row]:
        """The rows one by one."""
        straddles, escaped = self.straddles.tolist(), self.escaped.tolist()
        parts = zip(self.split(self.input_ids), self.split(self.mask), straddles, escaped, strict=True)
        if not self.extras:
            return [Row(*part) for part in parts]
        return [Row(*part, **extra) for part, extra in zip(parts, self.extras, strict=True)]

    def in_order(self) -> list[Row | Rejected]:
        """A row or a rejection for each conversation."""
        result: list[Any] = [None] * self.count
        for index, row in zip(self.kept, self.rows(), strict=True):
            result[index] = row
        for index, rejected in self.rejected.items():
            result[index] = rejected
        return result


def of_rows(count: int, rows: dict[int, Row], rejected: dict[int, Rejected], keep: Iterable[str]) -> Encoded:
    """Rows that were made one by one, by the index of their conversation, as arrays."""
    kept = sorted(rows)
    ordered = [rows[index] for index in kept]
    offsets = np.zeros(len(ordered) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in ordered], out=offsets[1:])
    keep = tuple(keep)
    return Encoded(
        count,
        kept,
        np.concatenate([np.zeros(0, dtype=np.int32), *(row.input_ids for row in ordered)]),
        np.concatenate([np.zeros(0, dtype=np.uint8), *(row.mask for row in ordered)]),
        offsets,
        np.array([row.straddles for row in ordered], dtype=np.int64),
        np.array([row.escaped for row in ordered], dtype=np.int64),
        rejected,
        [{name: getattr(row, name) for name in keep} for row in ordered] if keep else (),
    )


def merged(most: Encoded, others: Encoded) -> Encoded:
    """Two sets of rows of the same conversations as one, in order; made for few others."""
    places = np.searchsorted(most.kept, others.kept).tolist()
    runs: list[tuple[Encoded, int, int]] = []
    before = 0
    for index, place in enumerate(places):
        runs += [(most, before, place), (others, index, index + 1)]
        before = place
    runs.append((most, before, len(most.kept)))

    def of_tokens(name: str) -> Any:
        return np.concatenate([getattr(part, name)[part.offsets[a] : part.offsets[b]] for part, a, b in runs])

    def of_each(name: str) -> Any:
        return np.concatenate([getattr(part, name)[a:b] for part, a, b in runs])

    return Encoded(
        most.count,
        [index for part, a, b in runs for index in part.kept[a:b]],
        of_tokens("input_ids"),
        of_tokens("mask"),
        np.append(0, np.cumsum(of_each("lengths"))),
        of_each("straddles"),
        of_each("escaped"),
        most.rejected,
        [extra for part, a, b in runs for extra in part.extras[a:b]],
    )


def concatenate(parts: Sequence[Encoded]) -> Encoded:
    """Parts of a batch, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    kept: list[int] = []
    rejected: dict[int, Rejected] = {}
    extras: list[dict[str, Any]] = []
    offsets: list[Any] = [np.zeros(1, dtype=np.int64)]
    first = tokens = 0
    for part in parts:
        kept += [first + index for index in part.kept]
        rejected.update((first + index, why) for index, why in part.rejected.items())
        extras += part.extras
        offsets.append(part.offsets[1:] + tokens)
        first += part.count
        tokens += int(part.offsets[-1])

    def column(name: str, kind: Any) -> Any:
        return np.concatenate([np.zeros(0, dtype=kind), *(getattr(part, name) for part in parts)])

    return Encoded(
        first,
        kept,
        column("input_ids", np.int32),
        column("mask", np.uint8),
        np.concatenate(offsets),
        column("straddles", np.int64),
        column("escaped", np.int64),
        rejected,
        extras,
    )
