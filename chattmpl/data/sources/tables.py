"""Rows in Parquet and Arrow files, read batch by batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow
from chattmpl.data.sources.json_rows import parse_value
from chattmpl.errors import ConversationError, UsageError
from chattmpl.input_files import unreadable

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
                yield from (_checked(arrow, batch) for batch in arrow.ipc.open_stream(source))
            except arrow.ArrowInvalid:
                source.seek(0)
                reader = arrow.ipc.open_file(source)
                yield from (_checked(arrow, reader.get_batch(index)) for index in range(reader.num_record_batches))
    except OSError as error:
        raise unreadable(file.path, error, ConversationError) from None
    except Exception as error:  # pyarrow has many, and Python's for texts of the file that are not UTF-8
        raise ConversationError(f"cannot read {file.path}: {error}") from None


def _checked(arrow: Any, batch: Any) -> Any:
    """Return a batch whose offsets lie inside its buffers, which pyarrow does not check when it reads them.

    Raises:
        ArrowInvalid: they do not.
    """
    for column in batch.columns:
        column.validate()
        # As bytes, since a text that is not UTF-8 is an error of its row alone.
        column.view(_as_bytes(arrow, column.type)).validate(full=True)
    return batch


def _as_bytes(arrow: Any, kind: Any) -> Any:
    """Return a type with bytes for texts."""
    types = arrow.types
    if types.is_string(kind):
        return arrow.binary()
    if types.is_large_string(kind):
        return arrow.large_binary()
    if types.is_struct(kind):
        fields = (kind.field(index) for index in range(kind.num_fields))
        return arrow.struct([field.with_type(_as_bytes(arrow, field.type)) for field in fields])
    if types.is_list(kind) or types.is_large_list(kind):
        make = arrow.list_ if types.is_list(kind) else arrow.large_list
        return make(kind.value_field.with_type(_as_bytes(arrow, kind.value_type)))
    return kind


def table_chunks(_: None, file: DataFile, size: int, limit: int | None) -> Iterator[Chunk]:
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
            groups = range(data.num_row_groups)
            return data.num_rows, sum(data.row_group(group).total_byte_size for group in groups)
        except Exception as error:
            raise ConversationError(f"cannot read {file.path}: {error}") from None
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
    stream = arrow.ipc.open_stream(data)
    decoders = _decoders(arrow, stream.schema, file.path)
    for batch in stream:
        try:
            found = [RawRow(index + at, None, value) for at, value in enumerate(batch.to_pylist())]
        except Exception:  # such as a text that is not UTF-8 or a date that Python does not have: only in some rows
            found = [_row(batch, at, index + at) for at in range(batch.num_rows)]
        yield from (_decoded(row, decoders) for row in found) if decoders else found
        index += len(found)


def _row(batch: Any, at: int, index: int) -> RawRow:
    """Return one row of a batch, or the error if Python has no value for it."""
    try:
        return RawRow(index, None, batch.slice(at, 1).to_pylist()[0])
    except Exception as error:
        problem = f"a value cannot be converted: {type(error).__name__}: {error}"
        return RawRow(index, None, None, ConversationError(problem, hint="correct the value in the file"))


def _decoded(row: RawRow, decoders: dict[str, _Decoder]) -> RawRow:
    """Return a row with its columns of JSON decoded."""
    if row.error is not None:
        return row
    try:
        values = row.value.items()
        return row._replace(value={key: decoders[key](item) if key in decoders else item for key, item in values})
    except Exception as error:  # of this row, whatever it is
        return row._replace(error=error)


# -- columns of JSON

_Decoder = Callable[[Any], Any]


def _decoders(arrow: Any, schema: Any, name: str) -> dict[str, _Decoder]:
    """Return decoders for the columns that hold JSON, at any depth.

    ``datasets`` 5 stores values of different types as the extension type ``arrow.json``. A pyarrow that does not know
    it, and files whose Arrow schema was lost, show strings or bytes; then the metadata of the field or the features of
    ``datasets`` say what they are.
    """
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        features = {}

    def parse(value: Any) -> Any:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return parse_value(text, name, 1) if isinstance(text, str) else value

    def decoder(field: Any, feature: Any) -> _Decoder | None:
        kind = field.type
        feature = feature if isinstance(feature, Mapping) else {}
        if arrow.types.is_struct(kind):
            children = [kind.field(position) for position in range(kind.num_fields)]
            inside = {child.name: decoder(child, feature.get(child.name)) for child in children}
            found = {key: decode for key, decode in inside.items() if decode is not None}
            return (
                (lambda value: value and {k: found[k](v) if k in found else v for k, v in value.items()})
                if found
                else None
            )
        if isinstance(value_field := getattr(kind, "value_field", None), arrow.Field):
            decode = decoder(value_field, feature.get("feature"))
            return (lambda value: value and [decode(item) for item in value]) if decode else None
        extension = getattr(kind, "extension_name", None) or (field.metadata or {}).get(b"ARROW:extension:name", b"")
        return parse if extension in ("arrow.json", b"arrow.json") or feature.get("_type") == "Json" else None

    found = {field.name: decoder(field, features.get(field.name)) for field in schema}
    return {key: decode for key, decode in found.items() if decode is not None}
