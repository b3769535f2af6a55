"""A PyTorch data set that encodes as it goes, as the documentation shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from chattmpl.data.encoder import Encoder


class Encoded(IterableDataset[Any]):  # type: ignore[misc]
    """Rows of conversations, encoded some at a time; each worker takes every n-th conversation."""

    def __init__(self, records: Sequence[dict[str, Any]], encoder: Encoder) -> None:
        self.records, self.encoder = records, encoder

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        records = islice(self.records, info.id if info else 0, None, info.num_workers if info else 1)
        while some := list(islice(records, 512)):
            columns = self.encoder({"messages": [record["messages"] for record in some]})
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))
