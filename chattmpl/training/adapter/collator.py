"""A collator for people who train without trl: it needs torch alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chattmpl.errors import UsageError

IGNORED = -100


@dataclass(frozen=True)
class Collator:
    """Rows as a batch of tensors.

    Padded, a batch has ``input_ids``, ``labels`` and ``attention_mask``, each ``[rows, longest]``. With
    ``padding_free`` all documents stand in one row, with ``position_ids`` that start anew with each; there is no
    attention mask, which would hide from the model where documents begin, and the first label of each is -100, since
    what stands before it is another document.

    Args:
        pad_id: the token to pad with; its label is always -100.
        padding_free: put all documents into one row. Packed rows, which have ``seq_lengths``, need it.
        multiple_of: pad to a multiple of so many tokens.

    Raises:
        UsageError: for rows without ``labels``, rows whose labels are not as many as their tokens, and packed rows
            that are to be padded; and where there is no row.
    """

    pad_id: int
    padding_free: bool = False
    multiple_of: int = 1

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of some rows."""
        if not rows:
            raise UsageError("there is no row to make a batch of", hint="a data loader gives one or more")
        for row in rows:
            self._check(row)
        return self._in_one_row(rows) if self.padding_free else self._padded(rows)

    def _check(self, row: Mapping[str, Any]) -> None:
        if "input_ids" not in row:
            raise UsageError("a row has no input_ids", hint="prepare() makes them")
        if "labels" not in row:
            raise UsageError("a row has no labels, so that all of it would be trained", hint="prepare() makes them")
        if len(row["labels"]) != len(row["input_ids"]):
            raise UsageError(f"a row has {len(row['input_ids'])} tokens and {len(row['labels'])} labels")
        if "seq_lengths" in row and not self.padding_free:
            raise UsageError(
                "a packed row is to be padded, and its documents would see each other",
                hint="Collator(…, padding_free=True)",
            )

    def _padded(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        length = self._length(max(len(row["input_ids"]) for row in rows))

        def column(name: str, filler: int) -> Any:
            return torch.tensor([[*_list(row[name]), *[filler] * (length - len(row[name]))] for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": column("input_ids", self.pad_id),
            "labels": column("labels", IGNORED),
            "attention_mask": torch.tensor(mask),
        }

    def _in_one_row(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for row in rows:
            start = len(positions)
            ids += _list(row["input_ids"])
            labels += _list(row["labels"])
            lengths = row.get("seq_lengths")
            for length in [len(row["input_ids"])] if lengths is None else _list(lengths):
                if length:
                    labels[len(positions)] = IGNORED
                positions += range(length)
            if len(positions) - start != len(row["input_ids"]):
                raise UsageError(f"seq_lengths of a row do not add up to its {len(row['input_ids'])} tokens")
        missing = self._length(len(ids)) - len(ids)
        return {
            "input_ids": torch.tensor([ids + [self.pad_id] * missing]),
            "labels": torch.tensor([labels + [IGNORED] * missing]),
            "position_ids": torch.tensor([positions + list(range(missing))]),
        }

    def _length(self, length: int) -> int:
        return -(-length // self.multiple_of) * self.multiple_of


def _list(values: Any) -> list[int]:
    """Numbers of a row, which are a tensor where the data set has the format of torch or numpy."""
    return list(values.tolist() if hasattr(values, "tolist") else values)
