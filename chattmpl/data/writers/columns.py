"""Columns: what a row of a data set holds, by the names that trainers know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chattmpl.data.samples import Sample
from chattmpl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE_INDEX = -100
"""What stands in ``labels`` where nothing is trained."""

PER_TOKEN: tuple[str, ...] = (
    "input_ids",
    "labels",
    "assistant_masks",
    "attention_mask",
    "message_index",
    "position_ids",
)
PER_DOCUMENT: tuple[str, ...] = ("seq_lengths", "source", "place")
COLUMNS = ("labels", "assistant_masks", "attention_mask", "message_index", "source", "place")
"""Those that may be asked for; ``input_ids`` is always there, and packing adds its own."""


class Document(NamedTuple):
    """A sample with where it came from: the name of its source, and ``file:line`` or ``file[index]``."""

    sample: Sample
    source: str
    place: str


class Block(NamedTuple):
    """Samples one behind the other in one stretch of memory.

    Attributes:
        ids, mask: of all samples, int32 and uint8.
        offsets: of the samples in them, one more than there are.
        straddles, escaped: for each sample; see `Sample`.
        sources, places: as of a `Document`; None if nobody asked for them.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    straddles: NDArray[np.int64]
    escaped: NDArray[np.int64]
    sources: Sequence[str] | None = None
    places: Sequence[str] | None = None

    def samples(self) -> list[Sample]:
        """The samples one by one."""
        cuts = pairwise(self.offsets.tolist())
        noticed = zip(self.straddles.tolist(), self.escaped.tolist(), strict=True)
        return [
            Sample(self.ids[start:end], self.mask[start:end], None, straddles, escaped)
            for (start, end), (straddles, escaped) in zip(cuts, noticed, strict=True)
        ]


def columns_named(names: Sequence[str], *, packed: bool = False) -> tuple[str, ...]:
    """The columns of a data set, in their order.

    Raises:
        UsageError: there is no such column, or one is named twice.
    """
    for name in names:
        if name not in (*COLUMNS, "input_ids"):
            hint = did_you_mean(name, COLUMNS) or f"the columns are {', '.join(COLUMNS)}"
            raise UsageError(f"there is no column {name!r}", hint=hint)
        if list(names).count(name) > 1:
            raise UsageError(f"the column {name!r} is named twice", hint="keep one of the two")
    extra = ("position_ids", "seq_lengths") if packed else ()
    wanted = {"input_ids", *names, *extra}
    return tuple(name for name in (*PER_TOKEN, *PER_DOCUMENT) if name in wanted)


def _labels(documents: Sequence[Document], packed: bool) -> NDArray[Any]:
    ids = _joined(documents, lambda document: document.sample.ids)
    return np.where(_masks(documents, packed).astype(bool), ids, np.int32(IGNORE_INDEX))


def _masks(documents: Sequence[Document], packed: bool) -> NDArray[Any]:
    masks = _joined(documents, lambda document: document.sample.mask).astype(np.int8)
    if packed:
        # What stands before a document's first token is another document, and does not predict it.
        masks[_starts(documents)] = 0
    return masks


def _positions(documents: Sequence[Document], packed: bool) -> NDArray[Any]:
    return _joined(documents, lambda document: np.arange(len(document.sample), dtype=np.int32))


def _messages(documents: Sequence[Document], packed: bool) -> NDArray[Any]:
    return _joined(documents, lambda document: document.sample.message_index)


def _starts(documents: Sequence[Document]) -> NDArray[Any]:
    lengths = [len(document.sample) for document in documents]
    return np.cumsum([0, *lengths[:-1]])[[index for index, length in enumerate(lengths) if length]]


def _joined(documents: Sequence[Document], part: Callable[[Document], Any]) -> NDArray[Any]:
    return np.concatenate([part(document) for document in documents])


_TOKENS: dict[str, Callable[[Sequence[Document], bool], Any]] = {
    "input_ids": lambda documents, packed: _joined(documents, lambda document: document.sample.ids),
    "labels": _labels,
    "assistant_masks": _masks,
    "attention_mask": lambda documents, packed: np.ones(sum(len(d.sample) for d in documents), dtype=np.int8),
    "message_index": _messages,
    "position_ids": _positions,
}
_DOCUMENTS: dict[str, Callable[[Document], Any]] = {
    "seq_lengths": lambda document: len(document.sample),
    "source": lambda document: document.source,
    "place": lambda document: document.place,
}


def schema(columns: Sequence[str], *, packed: bool) -> Any:
    """The Arrow schema of a data set with these columns."""
    import pyarrow as pa

    small = ("assistant_masks", "attention_mask")
    fields = []
    for name in columns:
        if name in PER_TOKEN:
            kind = pa.list_(pa.int8() if name in small else pa.int32())
        else:
            kind = pa.int32() if name == "seq_lengths" else pa.string()
            kind = pa.list_(kind) if packed else kind
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


def record_batch(rows: Sequence[Sequence[Document]], columns: Sequence[str], *, packed: bool) -> Any:
    """Rows as an Arrow record batch; each is made of one document, or of several where they are packed."""
    import pyarrow as pa

    wanted = schema(columns, packed=packed)
    documents = [document for row in rows for document in row]
    lengths = [sum(len(document.sample) for document in row) for row in rows]
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
    counts = pa.array(np.cumsum([0, *map(len, rows)]), pa.int32())
    arrays = []
    for field in wanted:
        if field.name in _TOKENS:
            values = pa.array(_TOKENS[field.name](documents, packed), field.type.value_type)
            arrays.append(pa.ListArray.from_arrays(offsets, values, type=field.type))
        elif packed:
            values = pa.array([_DOCUMENTS[field.name](document) for document in documents], field.type.value_type)
            arrays.append(pa.ListArray.from_arrays(counts, values, type=field.type))
        else:
            arrays.append(pa.array([_DOCUMENTS[field.name](document) for document in documents], field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def record_batch_of(blocks: Sequence[Block], columns: Sequence[str]) -> Any:
    """Blocks as an Arrow record batch, the same as `record_batch` makes of their samples, without a step for each."""
    import pyarrow as pa

    wanted = schema(columns, packed=False)
    ids = np.concatenate([block.ids for block in blocks])
    mask = np.concatenate([block.mask for block in blocks])
    lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
    made: dict[str, Callable[[], Any]] = {
        "input_ids": lambda: ids,
        "labels": lambda: np.where(mask.view(bool), ids, np.int32(IGNORE_INDEX)),
        "assistant_masks": lambda: mask.view(np.int8),
        "attention_mask": lambda: np.ones(len(ids), dtype=np.int8),
        "source": lambda: [name for block in blocks for name in block.sources or ()],
        "place": lambda: [name for block in blocks for name in block.places or ()],
    }
    arrays = []
    for field in wanted:
        values = made[field.name]()
        if field.name in PER_TOKEN:
            values = pa.ListArray.from_arrays(offsets, pa.array(values, field.type.value_type), type=field.type)
        else:
            values = pa.array(values, field.type)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)
