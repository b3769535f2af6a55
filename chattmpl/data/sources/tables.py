"""Rows in Parquet and Arrow files, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chattmpl.data.sources.files import Chunk, DataFile, RawRow, unreadable
from chattmpl.errors import ConversationError, UsageError

_BATCH = 1024


def _arrow(file: DataFile) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{file.path} needs pyarrow", hint="pip install 'chattmpl[data]'") from None
    return pyarrow


def _batches(file: DataFile) -> Iterator[Any]:
    """Yield the record batches of a file, one in memory at a time.

    Raises:
        ConversationError: it cannot be read.
        UsageError: pyarrow is not installed.
    """
    arrow = _arrow(file)
    try:
        if file.kind == "parquet":
            with arrow.parquet.ParquetFile(file.path, pre_buffer=False) as table:
                for group in range(table.num_row_groups):
                    yield from table.iter_batches(_BATCH, row_groups=[group])
            return
        with arrow.OSFile(file.path) as source:
            try:
                yield from arrow.ipc.open_stream(source)
            except arrow.ArrowInvalid:
                source.seek(0)
                reader = arrow.ipc.open_file(source)
                yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
    except arrow.ArrowInvalid as error:
        raise ConversationError(f"cannot read {file.path}: {error}") from None
    except OSError as error:
        raise unreadable(file.path, error) from None


def table_chunks(file: DataFile, size: int, limit: int | None) -> Iterator[Chunk]:
    """Yield the chunks of a file, about ``size`` bytes each."""
    rows, weight = _measure(file)
    step = max(1, min(size * rows // max(weight, 1), 16 * _BATCH))
    end = rows if limit is None else min(rows, limit)
    for first in range(0, end, step):
        count = min(step, end - first)
        yield Chunk(first, count, first, count, 0, count * weight // rows)


def _measure(file: DataFile) -> tuple[int, int]:
    """Return the number of rows of a file, and approximately of their bytes."""
    arrow = _arrow(file)
    if file.kind == "parquet":
        try:
            data = arrow.parquet.read_metadata(file.path)
        except arrow.ArrowInvalid as error:
            raise ConversationError(f"cannot read {file.path}: {error}") from None
        groups = range(data.num_row_groups)
        return data.num_rows, sum(data.row_group(group).total_byte_size for group in groups)
    rows = weight = 0
    for batch in _batches(file):
        rows += batch.num_rows
        weight += batch.nbytes
    return rows, weight


def stream_table(file: DataFile, wanted: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the rows of each chunk, which are in order, as the bytes of an Arrow stream."""
    arrow = _arrow(file)
    source = _batches(file)
    held: Any = None
    position = 0  # number of the first row in `held`
    for chunk in wanted:
        parts = []
        need, at = chunk.size, chunk.start
        while need:
            while held is None or position + held.num_rows <= at:
                position += 0 if held is None else held.num_rows
                held = next(source)
            part = held.slice(at - position, need)
            parts.append(part)
            need, at = need - part.num_rows, at + part.num_rows
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, parts[0].schema) as writer:
            for part in parts:
                writer.write_batch(part)
        yield sink.getvalue().to_pybytes()


def table_rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a chunk from the bytes of an Arrow stream."""
    arrow = _arrow(file)
    index = chunk.first
    for batch in arrow.ipc.open_stream(data):
        for value in batch.to_pylist():
            yield RawRow(index, None, value)
            index += 1
