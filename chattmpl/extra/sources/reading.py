"""The bytes of files: decompressed, and with a digest of what was read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chattmpl.errors import ConversationError, UsageError, did_you_mean
from chattmpl.extra.sources.piece import DataFile

_BLOCK = 1 << 20


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
        reader: Any = zstandard.ZstdDecompressor()
        return reader.stream_reader(raw, read_across_frames=True)  # type: ignore[no-any-return]
    return raw


def unreadable(name: str, error: Exception) -> ConversationError:
    """The error for a file that the system does not let us read."""
    hint = None
    folder = Path(name).parent
    if isinstance(error, FileNotFoundError) and folder.is_dir():
        hint = did_you_mean(Path(name).name, [file.name for file in folder.iterdir()])
    reason = getattr(error, "strerror", None) or str(error)
    return ConversationError(f"cannot read {name}: {reason.lower()}", hint=hint)
