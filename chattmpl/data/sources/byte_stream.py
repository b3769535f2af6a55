"""The bytes of files: decompressed, and with a digest of what was read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chattmpl.data.sources.chunk import DataFile
from chattmpl.errors import ConversationError, UsageError, did_you_mean

_BLOCK = 1 << 20
_COMPRESSED_BLOCK = 1 << 12
"""Bytes that are decompressed at once: few, for what they give is in memory."""


class Digesting(io.RawIOBase):
    """A file that keeps a digest of what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer, as files do."""
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._hash.update(memoryview(buffer)[:count])
        return int(count)

    def digest(self) -> str:
        """The digest of all that was read so far."""
        return self._hash.hexdigest()


def digest_of(path: str) -> str:
    """The digest of a whole file."""
    with Path(path).open("rb") as file:
        digesting = Digesting(file)
        buffer = bytearray(_BLOCK)
        while digesting.readinto(buffer):
            pass
        return digesting.digest()


@contextmanager
def opened(file: DataFile) -> Iterator[tuple[io.BufferedReader, Digesting]]:
    """The decompressed bytes of a file, and the digest of the compressed ones.

    Raises:
        ConversationError: it cannot be read or decompressed.
        UsageError: the package that decompresses it is not installed.
    """
    try:
        with Path(file.path).open("rb") as raw:
            digesting = Digesting(raw)
            yield io.BufferedReader(_decompressed(file, digesting), _BLOCK), digesting
    except (EOFError, OSError) as error:
        raise unreadable(file.path, error) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("zlib", "zstandard"):
            raise ConversationError(f"cannot read {file.path}: {error}") from None
        raise


def _decompressed(file: DataFile, raw: Digesting) -> io.RawIOBase:
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
    """The decompressed bytes of one frame or of several: zstandard's own reader takes a frame that is cut for whole."""

    def __init__(self, raw: Digesting, decompressor: Any) -> None:
        self._raw, self._decompressor = io.BufferedReader(raw, _BLOCK), decompressor
        self._frame: Any = None
        self._input = self._output = b""
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer, as files do."""
        while self._at == len(self._output):
            if not self._input:
                self._input = self._raw.read(_COMPRESSED_BLOCK)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the file was cut: its last zstd frame has no end")
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


def unreadable(name: str, error: Exception) -> ConversationError:
    """The error for a file that the system does not let us read."""
    hint = None
    folder = Path(name).parent
    if isinstance(error, FileNotFoundError) and folder.is_dir():
        hint = did_you_mean(Path(name).name, [file.name for file in folder.iterdir()])
    reason = getattr(error, "strerror", None) or str(error)
    return ConversationError(f"cannot read {name}: {reason.lower()}", hint=hint)
