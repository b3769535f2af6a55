"""A collator for training without trl; it needs only torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import UsageError


@dataclass(frozen=True)
class Collator:
    """Callable that turns rows into a batch of tensors.

    By default, rows are padded: a batch has ``input_ids``, ``labels`` and ``attention_mask``, each of shape ``[rows,
    longest]``. With ``padding_free``, all documents are concatenated into one row, with ``position_ids`` that restart
    at 0 for each document. There is no attention mask then, since it would hide from the model where documents begin,
    and the first label of each document is -100, since the preceding token belongs to another document.

    Args:
        pad_id: id of the padding token; its label is always -100.
        padding_free: concatenate all documents into one row. Required for packed rows, which have ``seq_lengths``.
        multiple_of: pad to a multiple of this number of tokens.

    Raises:
        UsageError: for a batch without rows, rows without labels or with another number of labels than tokens, and
            packed rows without ``padding_free``.
    """

    pad_id: int
    padding_free: bool = False
    multiple_of: int = 1

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch of some rows."""
        if not rows:
            raise UsageError("cannot make a batch of no rows", hint="pass one or more rows")
        for row in rows:
            self._check(row)
        return self._concatenated(rows) if self.padding_free else self._padded(rows)

    def _check(self, row: Mapping[str, Any]) -> None:
        if "input_ids" not in row:
            raise UsageError("a row has no input_ids", hint="prepare() adds them")
        if "labels" not in row:
            raise UsageError("a row has no labels, so all of it would be trained", hint="prepare() adds them")
        if len(row["labels"]) != len(row["input_ids"]):
            raise UsageError(f"a row has {len(row['input_ids'])} tokens and {len(row['labels'])} labels")
        if "seq_lengths" in row and not self.padding_free:
            raise UsageError(
                "a packed row cannot be padded: its documents would attend to each other",
                hint="Collator(…, padding_free=True)",
            )

    def _padded(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        length = self._round_up(max(len(row["input_ids"]) for row in rows))

        def column(name: str, filler: int) -> Any:
            return torch.tensor([[*_list(row[name]), *[filler] * (length - len(row[name]))] for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": column("input_ids", self.pad_id),
            "labels": column("labels", IGNORE_INDEX),
            "attention_mask": torch.tensor(mask),
        }

    def _concatenated(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
                    labels[len(positions)] = IGNORE_INDEX
                positions += range(length)
            if len(positions) - start != len(row["input_ids"]):
                raise UsageError(f"the seq_lengths of a row do not sum to its {len(row['input_ids'])} tokens")
        padding = self._round_up(len(ids)) - len(ids)
        return {
            "input_ids": torch.tensor([ids + [self.pad_id] * padding]),
            "labels": torch.tensor([labels + [IGNORE_INDEX] * padding]),
            "position_ids": torch.tensor([positions + list(range(padding))]),
        }

    def _round_up(self, length: int) -> int:
        return -(-length // self.multiple_of) * self.multiple_of


def _list(values: Any) -> list[int]:
    """Return numbers of a row as a list; a dataset with the format of torch or numpy gives tensors."""
    return list(values.tolist() if hasattr(values, "tolist") else values)
