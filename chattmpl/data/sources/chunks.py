"""Data files as they are read: files, chunks of their rows, rows, and the bytes of compressed files."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from chattmpl.errors import ConversationError, UsageError
from chattmpl.input_files import unreadable


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of conversations.

    Attributes:
        path: its path, as it was given or found.
        kind: its format, a key of `chattmpl.data.sources.formats.FORMATS`.
        compression: its compression, if any.
    """

    path: str
    kind: str
    compression: Literal["gzip", "zstd"] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file, few enough to be held in memory.

    Attributes:
        start, size: their bytes in the decompressed file; in a table, their rows.
        first: number of rows of the file before them.
        line: line of the file at which they start, from 1; 0 for tables.
        weight: approximate number of bytes.
        whole: for .json, true if the bytes are the whole value, not elements of its list.
        too_long: true if it is one row that is too long to be read; its bytes are skipped.
    """

    start: int
    size: int
    first: int
    rows: int
    line: int
    weight: int
    whole: bool = False
    too_long: bool = False


@dataclass(frozen=True)
class Scan:
    """The result of reading a file once.

    Attributes:
        chunks: its rows, in order.
        digest: digest of its bytes; only of those that were read, if a limit of rows was reached.
    """

    file: DataFile
    chunks: tuple[Chunk, ...]
    digest: str

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(chunk.rows for chunk in self.chunks)


class RawRow(NamedTuple):
    """A row as it is in its file, or the error if it cannot be read.

    Attributes:
        number: its number in the file, from 0.
        line: its line in the file, from 1; None in a table.
        value: the record.
        error: why there is no record.
        text: the bytes of a row that cannot be read.
    """

    number: int
    line: int | None
    value: Any
    error: Exception | None = None
    text: bytes | None = None


# -- reading bytes

_BLOCK = 1 << 20
_COMPRESSED_BLOCK = 1 << 12
"""Number of compressed bytes read together; small, since the decompressed bytes are held in memory."""


class DigestReader(io.RawIOBase):
    """A reader that computes a digest of the bytes that are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; return their number."""
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._hash.update(memoryview(buffer)[:count])
        return int(count)

    def digest(self) -> str:
        """Return the digest of the bytes read so far."""
        return self._hash.hexdigest()


def digest_of(path: str) -> str:
    """Return the digest of a file; one that has not changed since is not read again."""
    status = Path(path).stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest_of(path: str, size: int, time: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_file(file: DataFile) -> Iterator[tuple[io.BufferedReader, DigestReader]]:
    """Open a file; yield a reader of its decompressed bytes, and one with the digest of the compressed ones.

    Raises:
        ConversationError: it cannot be read or decompressed.
        UsageError: the package for its compression is not installed.
    """
    try:
        with Path(file.path).open("rb") as raw:
            reader = DigestReader(raw)
            yield io.BufferedReader(_decompressed(file, reader), _BLOCK), reader
    except (EOFError, OSError) as error:
        raise unreadable(file.path, error, ConversationError) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("zlib", "zstandard", "zstd"):
            raise ConversationError(f"cannot read {file.path}: {error}") from None
        raise


def _decompressed(file: DataFile, raw: DigestReader) -> io.RawIOBase:
    if file.compression == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=io.BufferedReader(raw, _BLOCK), mode="rb")  # type: ignore[return-value]
    if file.compression == "zstd":
        try:
            import zstandard
        except ImportError:
            raise UsageError(f"{file.path} needs zstandard", hint="pip install 'chattmpl[data]'") from None
        return _Zstd(raw, zstandard.ZstdDecompressor())
    return raw


class _Zstd(io.RawIOBase):
    """A reader of one or more zstd frames. The one in zstandard takes a truncated frame for a complete one."""

    def __init__(self, raw: DigestReader, decompressor: Any) -> None:
        self._raw, self._decompressor = io.BufferedReader(raw, _BLOCK), decompressor
        self._frame: Any = None
        self._input = self._output = b""
        self._at = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; return their number."""
        while self._at == len(self._output):
            if not self._input:
                self._input = self._raw.read(_COMPRESSED_BLOCK)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the file is truncated: its last zstd frame is incomplete")
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            self._output, self._at = self._frame.decompress(self._input), 0
            self._input = b""
            if self._frame.eof:
                self._input, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._output) - self._at)
        buffer[:count] = memoryview(self._output)[self._at : self._at + count]
        self._at += count
        return count
