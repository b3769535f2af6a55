"""Rows in Parquet and Arrow files, read batch by batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chattmpl import input_files
from chattmpl.bounds import bounded
from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow
from chattmpl.data.sources.json_rows import parse_value
from chattmpl.errors import ConversationError, UsageError
from chattmpl.input_files import MOST_VALUES, too_long, too_many_values, unreadable

_BATCH = 1024

_MAGIC = b"ARROW1"
"""The first bytes of an Arrow file; a stream begins otherwise."""

_LARGEST = 512 << 20
"""Maximum number of bytes of rows that are read together."""


def _arrow(file: DataFile) -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{file.path} needs pyarrow", hint="pip install 'chattmpl[data]'") from None
    # Its allocator reserves 1 GiB of addresses at the first use, which must not count against a bound on memory.
    pyarrow.allocate_buffer(1)
    return pyarrow


def _batches(file: DataFile) -> Iterator[Any]:
    """Yield the record batches of a file, one in memory at a time.

    Raises:
        ConversationError: it cannot be read, or a batch does not fit into memory.
        UsageError: pyarrow is not installed.
    """
    found = _read_batches(_arrow(file), file)
    while True:
        with _bounded(file):
            batch = next(found, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _bounded(file: DataFile) -> Iterator[None]:
    """Bound the memory of what is read, since values that are repeated take next to no space in a file."""
    try:
        with bounded(time_too=False):
            yield
    except MemoryError:
        raise _too_large(file) from None


def _too_large(file: DataFile) -> ConversationError:
    problem = f"cannot read {file.path}: {_BATCH:,} of its rows take more than {_LARGEST >> 20} MiB of memory"
    return ConversationError(problem, hint="remove the columns or rows that are this large")


def _read_batches(arrow: Any, file: DataFile) -> Iterator[Any]:
    try:
        if file.kind == "parquet":
            with arrow.parquet.ParquetFile(file.path, pre_buffer=False) as table:
                for group in range(table.num_row_groups):
                    yield from table.iter_batches(_BATCH, row_groups=[group])
            return
        with arrow.OSFile(file.path) as source:
            is_file = source.read(len(_MAGIC)) == _MAGIC
            source.seek(0)
            if is_file:
                reader = arrow.ipc.open_file(source)
                yield from (_checked(arrow, reader.get_batch(index)) for index in range(reader.num_record_batches))
            else:
                yield from (_checked(arrow, batch) for batch in arrow.ipc.open_stream(source))
    except OSError as error:
        raise unreadable(file.path, error, ConversationError) from None
    except MemoryError:
        raise
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
        need, at = chunk.size, chunk.start
        with _bounded(file):
            parts, size = [], 0
            while need:
                while held is None or position + held.num_rows <= at:
                    position += 0 if held is None else held.num_rows
                    held = next(source)
                part = held.slice(at - position, need)
                size += sum(_size(arrow, column)[1] for column in part.columns)
                if size > _LARGEST:
                    raise _too_large(file)
                parts.append(part)
                need, at = need - part.num_rows, at + part.num_rows
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, parts[0].schema) as writer:
                for part in parts:
                    writer.write_batch(part)
            data = sink.getvalue().to_pybytes()
        yield data


def table_rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a chunk from the bytes of an Arrow stream."""
    arrow = _arrow(file)
    index = chunk.first
    stream = arrow.ipc.open_stream(data)
    decoders = _decoders(arrow, stream.schema, file.path)
    for batch in stream:
        try:
            _check_size(arrow, batch)
            found = [RawRow(index + at, None, value) for at, value in enumerate(batch.to_pylist())]
        except Exception:  # such as a text that is not UTF-8 or a date that Python does not have: only in some rows
            found = [_row(arrow, batch, at, index + at) for at in range(batch.num_rows)]
        yield from (_decoded(row, decoders) for row in found) if decoders else found
        index += len(found)


def _row(arrow: Any, batch: Any, at: int, index: int) -> RawRow:
    """Return one row of a batch, or the error if Python has no value for it."""
    row = batch.slice(at, 1)
    try:
        _check_size(arrow, row)
        return RawRow(index, None, row.to_pylist()[0])
    except ConversationError as error:
        return RawRow(index, None, None, error)
    except Exception as error:
        problem = f"a value cannot be converted: {type(error).__name__}: {error}"
        return RawRow(index, None, None, ConversationError(problem, hint="correct the value in the file"))


def _check_size(arrow: Any, batch: Any) -> None:
    """Raise `ConversationError` if a row that has these values alone would be too long or have too many."""
    sizes = [_size(arrow, column) for column in batch.columns]
    if (size := sum(size for _, size in sizes)) > input_files.LONGEST_LINE:
        raise too_long(size)
    if sum(count for count, _ in sizes) > MOST_VALUES:
        raise too_many_values()


def _size(arrow: Any, array: Any) -> tuple[int, int]:
    """Return the number of values in an array, with those inside of them, and of their bytes; a dictionary's repeat."""
    types = arrow.types
    if types.is_dictionary(array.type):
        inside = array.dictionary
        if not any(is_one(inside.type) for is_one in (types.is_string, types.is_large_string, types.is_binary)):
            return len(array), len(array) * inside.nbytes
        each = arrow.compute.binary_length(inside.cast(arrow.large_binary())).take(array.indices)
        return len(array), arrow.compute.sum(each).as_py() or 0
    if not any(is_one(array.type) for is_one in (types.is_list, types.is_large_list, types.is_struct)):
        return len(array), array.nbytes
    inside = array.flatten()
    sizes = [_size(arrow, part) for part in (inside if isinstance(inside, list) else [inside])]
    return len(array) + sum(count for count, _ in sizes), sum(size for _, size in sizes)


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
