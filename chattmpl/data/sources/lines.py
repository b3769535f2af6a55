"""Files with one JSON value a line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import islice

from chattmpl.data.sources.chunk import DataFile, Piece, RawRow
from chattmpl.data.sources.fast_json import LEFT, values
from chattmpl.data.sources.json_row import parse
from chattmpl.errors import ChatTmplError, ConversationError

_AT_ONCE = 32
"""Lines that are read together: few enough that their values are in the processor's cache when they are looked at."""

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def pieces(stream: io.BufferedReader, file: DataFile, size: int, limit: int | None) -> Iterator[Piece]:
    """The pieces of a file, of about ``size`` bytes each and of whole lines; blank lines are no rows.

    Raises:
        ConversationError: the file is UTF-16.
    """
    start, first, line = 0, 0, 1
    while block := stream.read(size):
        if not block.endswith(b"\n"):
            block += stream.readline()
        if not start and block.startswith(_UTF16_MARKS):
            raise ConversationError(f"{file.path} is UTF-16", hint="save it as UTF-8")
        rows = sum(1 for row in block.split(b"\n") if row and not row.isspace())
        yield Piece(start, len(block), first, rows, line, len(block))
        start, first, line = start + len(block), first + rows, line + block.count(b"\n")
        if limit is not None and first >= limit:
            return


def rows(data: bytes, piece: Piece, file: DataFile) -> Iterator[RawRow]:
    """The rows of a piece, from its bytes."""
    index = piece.first
    lines = enumerate(io.BytesIO(data), piece.line)
    while numbered := list(islice(lines, _AT_ONCE)):
        some = [(number, line) for number, line in numbered if not line.isspace()]
        for (number, line), value in zip(some, values([line for _, line in some]), strict=True):
            yield row(line, index, number, file.path) if value is LEFT else RawRow(index, number, value)
            index += 1


def row(line: bytes, index: int, number: int, name: str) -> RawRow:
    """The row that a line holds, or what is wrong with it."""
    bare = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    try:
        text = bare.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        problem = f"byte 0x{bare[error.start]:02x} at column {error.start + 1} is not UTF-8"
        return RawRow(index, number, None, ConversationError(problem, hint="save the file as UTF-8"), line)
    try:
        return RawRow(index, number, parse(text, name, number))
    except ChatTmplError as error:
        return RawRow(index, number, None, error, line)
