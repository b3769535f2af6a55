"""Pieces: runs of rows of one file, small enough to be held, that together are the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from chattmpl.errors import ChatTmplError

Kind = Literal["jsonl", "json", "parquet", "arrow"]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of conversations.

    Attributes:
        path: where it is, as it was given or found.
        kind: how its rows are written.
        compression: what stands around it, if anything.
    """

    path: str
    kind: Kind
    compression: Literal["gzip", "zstd"] | None = None

    @property
    def seekable(self) -> bool:
        """Whether a worker can read a piece by itself; other files are read in their order, by one process."""
        return self.compression is None and self.kind in ("jsonl", "json")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file.

    Attributes:
        start, size: the bytes of the file (after decompression) that hold them; the rows, where it is a table.
        first: how many rows of the file stand before them.
        rows: how many they are.
        line: line of the file at which they start, from 1; 0 for tables.
        weight: about how many bytes they are.
        whole: for .json, whether the bytes are the whole value, and not elements of its list.
    """

    start: int
    size: int
    first: int
    rows: int
    line: int
    weight: int
    whole: bool = False


@dataclass(frozen=True)
class Scan:
    """What was learnt from reading a file once.

    Attributes:
        file: the file.
        pieces: its rows, in order.
        digest: of its bytes, or of those that were read, where only the first rows are wanted.
    """

    file: DataFile
    pieces: tuple[Piece, ...]
    digest: str

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(piece.rows for piece in self.pieces)


class RawRow(NamedTuple):
    """A row as it stands in its file, or why it cannot be read.

    Attributes:
        number: its number in the file, from 0.
        line: its line in the file, from 1; None in a table.
        value: the record.
        error: what is wrong with it, in place of a value.
        text: the bytes of a row that cannot be read.
    """

    number: int
    line: int | None
    value: Any
    error: ChatTmplError | None = None
    text: bytes | None = None
