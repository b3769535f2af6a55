"""Reading files once to know their pieces, and again to have the rows of a piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from chattmpl.data.sources import json_file as whole
from chattmpl.data.sources import lines, tables
from chattmpl.data.sources.byte_stream import digest_of, opened, unreadable
from chattmpl.data.sources.chunk import DataFile, Piece, RawRow, Scan
from chattmpl.errors import ConversationError

PIECE_BYTES = 1 << 20


class EmptyFile(ConversationError):
    """A file that has no row."""


def scan(file: DataFile, *, limit: int | None = None, size: int = PIECE_BYTES) -> Scan:
    """Reads a file once, in bounded memory.

    Args:
        file: the file.
        limit: how many rows are wanted at most; no more than needed is read.
        size: about how many bytes a piece has.

    Raises:
        EmptyFile: it has no row.
        ConversationError: it cannot be read.
        UsageError: a package that reads it is not installed.
    """
    if file.kind in ("parquet", "arrow"):
        try:
            digest = digest_of(file.path)
        except OSError as error:
            raise unreadable(file.path, error) from None
        found = tuple(tables.pieces(file, size, limit))
    else:
        with opened(file) as (stream, digesting):
            reader = lines.pieces if file.kind == "jsonl" else whole.pieces
            found = tuple(reader(stream, file, size, limit))
            digest = digesting.digest()
    if not any(piece.rows for piece in found):
        raise EmptyFile(f"{file.path} is empty")
    return Scan(file, found, digest)


def stream(file: DataFile, wanted: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes of pieces of a file that cannot be read from the middle; the pieces are in order.

    Raises:
        ConversationError: it cannot be read.
    """
    if file.kind in ("parquet", "arrow"):
        yield from tables.streamed(file, iter(wanted))
        return
    with opened(file) as (source, _):
        at = 0
        for piece in wanted:
            while at < piece.start:
                at += len(source.read(min(piece.start - at, PIECE_BYTES)))
            data = source.read(piece.size)
            at += len(data)
            yield data


def load(file: DataFile, piece: Piece) -> bytes:
    """The bytes of a piece of a file that can be read from the middle.

    Raises:
        ConversationError: it cannot be read.
    """
    try:
        with Path(file.path).open("rb") as source:
            source.seek(piece.start)
            return source.read(piece.size)
    except OSError as error:
        raise unreadable(file.path, error) from None


def rows(data: bytes, piece: Piece, file: DataFile) -> Iterator[RawRow]:
    """The rows of a piece, from its bytes."""
    reader = {"jsonl": lines.rows, "json": whole.rows}.get(file.kind, tables.rows)
    return reader(data, piece, file)


def read(file: DataFile, *, limit: int | None = None) -> Iterator[RawRow]:
    """The rows of a file, one after the other, with their places; a row that cannot be read has its error.

    Raises:
        ConversationError: the file cannot be read at all.
        UsageError: a package that reads it is not installed.
    """
    found = scan(file, limit=limit)
    left = found.rows if limit is None else limit
    for piece, data in zip(found.pieces, stream(file, found.pieces), strict=True):
        for row in rows(data, piece, file):
            if left <= 0:
                return
            left -= 1
            yield row
