"""Rows in .csv and .tsv files, whose first row names the columns. Empty values are null."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from chattmpl import input_files
from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow, open_file
from chattmpl.errors import ConversationError
from chattmpl.input_files import check_skipped, too_long

_Values = dict[str, Any] | tuple[str, str]
"""The values of a row by column; or what is wrong with it, and how to fix it."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}


def _rows(source: io.BufferedReader, file: DataFile) -> Iterator[tuple[int, _Values]]:
    """Yield the line at which each row starts, and its values by column, or what is wrong with it."""
    csv.field_size_limit(input_files.LONGEST_LINE)
    # A byte that is not UTF-8 is rejected with the row that it is in.
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(text, file.path)
    reader = csv.reader(lines, delimiter=_DELIMITERS[file.kind], strict=True)
    try:
        names = next(reader, [])
        _check_names(names, file)
        while True:
            line = lines.begin()
            try:
                values = next(reader, None)
            except _TooLongError:
                error = too_long(lines.skip())
                yield line, (error.message, str(error.hint))
                continue
            if values is None:
                return
            if values:
                yield line, _row(names, values)
    except _TooLongError:
        raise ConversationError(f"{file.path}: the names of its columns are too long") from None
    except csv.Error as error:
        hint = "a quotation mark inside a quoted value is written twice"
        raise ConversationError(f"{file.path}:{lines.number}: not {file.kind.upper()}: {error}", hint=hint) from None
    finally:
        text.detach()


class _TooLongError(Exception):
    """A row that is too long to be read."""


class _Lines:
    """The lines of a file, for a reader of its rows, which may have many.

    Attributes:
        number: number of lines that were read.
    """

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text, self._name = text, name
        self.number = self._length = self._quotes = 0
        self._ended = True
        self._first = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        part = self._read(input_files.LONGEST_LINE + 1)
        if self._length > input_files.LONGEST_LINE:
            raise _TooLongError
        if not part:
            raise StopIteration
        return part

    def begin(self) -> int:
        """Begin a row; return the line at which it starts, from 1."""
        self._length = self._quotes = 0
        self._first = self.number + 1
        return self._first

    def skip(self) -> int:
        """Skip the rest of a row that is one line; return its length in bytes.

        Raises:
            ConversationError: it has more lines, so that a quotation mark is probably missing, or it does not end.
        """
        while not self._ended and self._read(1 << 20):
            check_skipped(self._length, self._name, self._first)
        if self._quotes % 2 or self.number > self._first:
            error = too_long(self._length)
            hint = "a quotation mark is missing, or one inside a quoted value is not written twice"
            raise ConversationError(f"{self._name}:{self._first}: {error.message}", hint=hint)
        return self._length

    def _read(self, limit: int) -> str:
        part = self._text.readline(limit)
        self._ended = part.endswith(("\n", "\r"))
        self.number += self._ended
        self._length += len(part.encode("utf-8", "surrogateescape"))
        self._quotes += part.count('"')
        return part


def _check_names(names: list[str], file: DataFile) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConversationError(f"{file.path}: two columns are named {repeated!r}", hint="rename one of them")
    others = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
    other = next((word for mark, word in others.items() if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        hint = f"its columns are separated by {other}; .csv files have commas, .tsv files tabs"
        raise ConversationError(f"{file.path}: has only one column, {names[0]!r}", hint=hint)


def _row(names: list[str], values: list[str]) -> _Values:
    if len(values) != len(names):
        return f"has {len(values)} values for {len(names)} columns", "put values that contain the separator in quotes"
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        byte = ord(str(error.object)[error.start]) - 0xDC00
        return f"byte 0x{byte:02x} is not UTF-8", "save the file as UTF-8"
    return {name: value or None for name, value in zip(names, values, strict=True)}


def delimited_chunks(source: io.BufferedReader, file: DataFile, size: int, limit: int | None) -> Iterator[Chunk]:
    """Yield the chunks of a file, about ``size`` bytes each; their positions are numbers of rows.

    Raises:
        ConversationError: the file is not in the format.
    """
    first = count = weight = start = 0
    for line, row in _rows(source, file):
        if limit is not None and first + count >= limit:
            break
        start = start or line
        count += 1
        weight += sum(len(value) for value in row.values() if value) if isinstance(row, dict) else 0
        if weight >= size:
            yield Chunk(first, count, first, count, start, weight)
            first, count, weight, start = first + count, 0, 0, 0
    if count:
        yield Chunk(first, count, first, count, start, weight)


def stream_delimited(file: DataFile, wanted: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the rows of each chunk, which are in order, as JSON: for each row its line, and its values or an error."""
    with open_file(file) as (source, _):
        found = _rows(source, file)
        at = 0
        for chunk in wanted:
            for _ in range(at, chunk.start):
                next(found)
            at = chunk.start + chunk.size
            yield json.dumps([next(found) for _ in range(chunk.size)]).encode()


def delimited_rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a chunk from their JSON."""
    for index, (line, row) in enumerate(json.loads(data), chunk.first):
        if isinstance(row, dict):
            yield RawRow(index, line, row)
        else:
            problem, hint = row
            yield RawRow(index, line, None, ConversationError(problem, hint=hint))
