"""The formats of data files: one row for each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow
from chattmpl.data.sources.delimited import delimited_chunks, delimited_rows, stream_delimited
from chattmpl.data.sources.json_rows import json_chunks, json_rows, jsonl_chunks, jsonl_rows
from chattmpl.data.sources.tables import stream_table, table_chunks, table_rows


@dataclass(frozen=True)
class DataFormat:
    """A format of data files.

    Attributes:
        suffixes: suffixes of its files, in lower case.
        chunks: yields the chunks of a file, from a reader of its bytes, the file, the approximate number of bytes of a
            chunk, and the maximum number of rows.
        rows: yields the rows of a chunk, from its bytes, the chunk and the file.
        stream: yields the bytes of some chunks of a file, in order; None if a chunk is a range of the file's bytes.
        by_path: true if a library opens the file by its path, so that it cannot be compressed as a whole.
    """

    suffixes: tuple[str, ...]
    chunks: Callable[[Any, DataFile, int, int | None], Iterator[Chunk]]
    rows: Callable[[bytes, Chunk, DataFile], Iterator[RawRow]]
    stream: Callable[[DataFile, Iterable[Chunk]], Iterator[bytes]] | None = None
    by_path: bool = False


FORMATS = {
    "jsonl": DataFormat((".jsonl", ".ndjson"), jsonl_chunks, jsonl_rows),
    "json": DataFormat((".json",), json_chunks, json_rows),
    "parquet": DataFormat((".parquet",), table_chunks, table_rows, stream_table, by_path=True),
    "arrow": DataFormat((".arrow",), table_chunks, table_rows, stream_table, by_path=True),
    "csv": DataFormat((".csv",), delimited_chunks, delimited_rows, stream_delimited),
    "tsv": DataFormat((".tsv", ".tab"), delimited_chunks, delimited_rows, stream_delimited),
}


def is_seekable(file: DataFile) -> bool:
    """Return true if a worker can read a chunk by itself; other files are read in order, by one process."""
    return file.compression is None and FORMATS[file.kind].stream is None
