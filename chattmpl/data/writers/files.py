"""Files of encoded rows: Parquet, Arrow, JSONL; written batch by batch, and joined without holding them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, get_args

from chattmpl.template.writer import replacing

Format = Literal["parquet", "arrow", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)


class TableWriter:
    """A file of record batches that appears under its name when it is whole.

    Args:
        path: the file.
        form: how it is written.
        schema: of all batches.
    """

    def __init__(self, path: Path, form: Format, schema: Any) -> None:
        self._form, self._schema = form, schema
        self._replacing: AbstractContextManager[IO[bytes]] = replacing(path)

    def __enter__(self) -> Self:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file = self._replacing.__enter__()
        if self._form == "parquet":
            # Token ids repeat too little within a page for a dictionary to pay, and nobody looks for one by its size.
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="zstd", use_dictionary=False, write_statistics=False
            )
        elif self._form == "arrow":
            self._writer = pa.ipc.new_stream(self._file, self._schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._form != "jsonl":
                self._writer.close()
        finally:
            self._replacing.__exit__(kind, error, trace)

    def write(self, batch: Any) -> None:
        """Writes a batch; in Parquet it is a row group of its own."""
        if self._form == "jsonl":
            for row in batch.to_pylist():
                self._file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        elif self._form == "parquet":
            self._writer.write_batch(batch, row_group_size=max(batch.num_rows, 1))
        else:
            self._writer.write_batch(batch)


def batches(path: Path, form: Format, schema: Any) -> Iterator[Any]:
    """The batches of a file that `TableWriter` wrote, as they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).combine_chunks().cast(schema).to_batches()
    elif form == "arrow":
        with pa.OSFile(str(path)) as source:
            yield from pa.ipc.open_stream(source)
    else:
        raise AssertionError("lines are joined as bytes")


def join(parts: Iterable[Path], path: Path, form: Format, schema: Any) -> None:
    """One file of several."""
    if form == "jsonl":
        concatenate(parts, path)
        return
    with TableWriter(path, form, schema) as writer:
        for part in parts:
            for batch in batches(part, form, schema):
                writer.write(batch)


def concatenate(parts: Iterable[Path], path: Path) -> None:
    """The bytes of files, one after the other, in one file."""
    with replacing(path) as target:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(1 << 20):
                    target.write(block)


def write_json(path: Path, value: Any) -> None:
    """A value as a JSON file that is whole or not there."""
    with replacing(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, default=str).encode() + b"\n")


def write_lines(path: Path, values: Sequence[Any]) -> None:
    """Values as a file with one a line that is whole or not there."""
    with replacing(path) as file:
        for value in values:
            # What stands in a row that was refused may be anything, also half a surrogate pair.
            line = json.dumps(value, ensure_ascii=False, default=str)
            try:
                file.write(line.encode() + b"\n")
            except UnicodeEncodeError:
                file.write(json.dumps(value, default=str).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None where there is none, or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
