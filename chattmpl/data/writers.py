"""Writers of encoded rows as datasets for trainers: columns, record batches, and Parquet, Arrow and JSONL files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chattmpl.data.rows import RowArrays
from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.options import Format
from chattmpl.template.writer import replacing

COLUMNS = {
    "labels": "the ids of trained tokens, -100 for others; not shifted",
    "assistant_masks": "1 for each token that is trained, else 0",
    "attention_mask": "1 for each token",
    "message_index": "the message in whose turn each token starts, -1 outside of turns; takes the slower exact path",
    "source": "the name of the source",
    "place": "`file:line`, or `file[row]` for tables",
}
"""Columns that may be requested, with their contents."""

OWN_COLUMNS = {
    "input_ids": "the ids of the tokens; always written",
    "position_ids": "with `--pack`, the position of each token in its document",
    "seq_lengths": "with `--pack`, the number of tokens of each document",
}
"""Columns that are written unasked, with their contents."""

_PER_TOKEN = ("input_ids", "labels", "assistant_masks", "attention_mask", "message_index", "position_ids")
_PER_DOCUMENT = ("seq_lengths", "source", "place")


# -- columns


@dataclass(frozen=True)
class RowBlock:
    """Rows with their origins, in a few arrays.

    Attributes:
        rows: the rows; their extras hold ``message_index`` if that is a column.
        sources: the name of each row's source; None if it is not a column.
        places: ``file:line`` or ``file[index]`` of each row; None if it is not a column.
    """

    rows: RowArrays
    sources: Sequence[str] | None = None
    places: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def join(cls, blocks: Sequence[RowBlock]) -> RowBlock:
        """Join blocks, at least one."""
        if len(blocks) == 1:
            return blocks[0]

        def joined(names: Sequence[Sequence[str] | None]) -> Sequence[str] | None:
            return None if names[0] is None else list(chain.from_iterable(some or () for some in names))

        rows = RowArrays.join([block.rows for block in blocks])
        return cls(rows, joined([block.sources for block in blocks]), joined([block.places for block in blocks]))

    def take(self, indices: Sequence[int]) -> RowBlock:
        """Return some rows, in this order."""
        sources = None if self.sources is None else [self.sources[index] for index in indices]
        places = None if self.places is None else [self.places[index] for index in indices]
        return RowBlock(self.rows.take(indices), sources, places)


def dataset_columns(names: Sequence[str], *, packed: bool = False) -> tuple[str, ...]:
    """Return the columns of a dataset, in order.

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
    return tuple(name for name in (*_PER_TOKEN, *_PER_DOCUMENT) if name in wanted)


def schema(columns: Sequence[str], *, packed: bool) -> Any:
    """Return the Arrow schema of a dataset with these columns."""
    import pyarrow as pa

    small = ("assistant_masks", "attention_mask")
    fields = []
    for name in columns:
        if name in _PER_TOKEN:
            kind = pa.list_(pa.int8() if name in small else pa.int32())
        else:
            kind = pa.int32() if name == "seq_lengths" else pa.string()
            kind = pa.list_(kind) if packed else kind
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


def record_batch(block: RowBlock, columns: Sequence[str], packs: Sequence[Sequence[int]] | None = None) -> Any:
    """Return rows as an Arrow record batch with these columns.

    Packed rows have, in ``packs``, the indices of the documents of each; by default each row is one document.
    """
    import pyarrow as pa

    if packs is not None:
        block = block.take([index for pack in packs for index in pack])
    rows = block.rows
    ids, mask, lengths, starts = rows.input_ids, rows.mask, rows.lengths, rows.offsets[:-1]
    counts: Any = np.zeros(1, dtype=np.int32)  # documents before each row
    offsets = rows.offsets.astype(np.int32)
    if packs is not None:
        counts = np.cumsum([0, *map(len, packs)]).astype(np.int32)
        offsets = offsets[counts]
        # A document's first token is preceded by another document, which does not predict it.
        mask = mask.copy()
        mask[starts[lengths > 0]] = 0
    values: dict[str, Callable[[], Any]] = {
        "input_ids": lambda: ids,
        "labels": lambda: np.where(mask.view(bool), ids, np.int32(IGNORE_INDEX)),
        "assistant_masks": lambda: mask.view(np.int8),
        "attention_mask": lambda: np.ones(len(ids), dtype=np.int8),
        "message_index": lambda: np.concatenate([extra["message_index"] for extra in rows.extras] or [ids]),
        "position_ids": lambda: np.arange(len(ids), dtype=np.int32) - np.repeat(starts, lengths),
        "seq_lengths": lambda: lengths,
        "source": lambda: block.sources,
        "place": lambda: block.places,
    }
    wanted = schema(columns, packed=packs is not None)
    arrays = []
    for field in wanted:
        if field.name in _PER_TOKEN or packs is not None:
            bounds = _arrow_array(offsets if field.name in _PER_TOKEN else counts, pa.int32())
            items = _arrow_array(values[field.name](), field.type.value_type)
            arrays.append(pa.ListArray.from_arrays(bounds, items, type=field.type))
        else:
            arrays.append(_arrow_array(values[field.name](), field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _arrow_array(values: Any, kind: Any) -> Any:
    """Return values as an Arrow array; an array of numpy is not copied, for which ``pyarrow.array`` imports pandas."""
    import pyarrow as pa

    if not isinstance(values, np.ndarray):
        return pa.array(values, kind)
    items = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(items), [None, pa.py_buffer(items)])


# -- files


@contextmanager
def open_table(path: Path, form: Format, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Create a file of record batches, which appears under its name only when it is complete.

    Args:
        path: the file.
        form: its format.
        schema: of all batches.

    Yields:
        A function that writes a batch; in Parquet it is one row group.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as file:
        if form == "jsonl":

            def write_rows(batch: Any) -> None:
                for row in batch.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

            yield write_rows
        elif form == "parquet":
            # Token ids repeat too little within a page for a dictionary to pay, and no one filters by their range.
            options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
            with pq.ParquetWriter(file, schema, **options) as table:
                yield lambda batch: table.write_batch(batch, row_group_size=max(batch.num_rows, 1))
        else:
            with pa.ipc.new_stream(file, schema) as stream:
                yield stream.write_batch


def join_files(parts: Iterable[Path], path: Path, form: Format, schema: Any) -> None:
    """Join files that `open_table` wrote, batch by batch."""
    if form == "jsonl":
        concatenate(parts, path)
        return
    with open_table(path, form, schema) as write:
        for part in parts:
            for batch in _batches(part, form, schema):
                write(batch)


def _batches(path: Path, form: Literal["parquet", "arrow"], schema: Any) -> Iterator[Any]:
    """Yield the batches of a file as they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).combine_chunks().cast(schema).to_batches()
    else:
        with pa.OSFile(str(path)) as source:
            yield from pa.ipc.open_stream(source)


def concatenate(parts: Iterable[Path], path: Path) -> None:
    """Write the bytes of files, one after another, to one file."""
    with replacing(path) as target:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(1 << 20):
                    target.write(block)


def write_json(path: Path, value: Any) -> None:
    """Write a value to a JSON file, completely or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, default=str).encode() + b"\n")


def write_lines(path: Path, values: Sequence[Any]) -> None:
    """Write values to a file with one JSON value per line, completely or not at all."""
    with replacing(path) as file:
        for value in values:
            # A rejected row may contain anything, even a lone surrogate.
            try:
                line = json.dumps(value, ensure_ascii=False, default=str).encode()
            except UnicodeEncodeError:
                line = json.dumps(value, default=str).encode()
            except (RecursionError, ValueError, TypeError):  # its place is enough to find it
                line = json.dumps({**value, "row": None}, default=str).encode()
            file.write(line + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
