"""Reader of data files: once to find their chunks, and again for the rows of each."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow, Scan, digest_of, open_file
from chattmpl.data.sources.formats import FORMATS, is_seekable
from chattmpl.errors import ConversationError
from chattmpl.input_files import too_long, unreadable

CHUNK_BYTES = 1 << 20


class EmptyFile(ConversationError):
    """A file without rows."""


def scan(
    file: DataFile,
    *,
    limit: int | None = None,
    size: int = CHUNK_BYTES,
    progress: Callable[[int], None] = lambda done: None,
) -> Scan:
    """Read a file once, in bounded memory.

    Args:
        file: the file.
        limit: maximum number of rows; no more than needed is read.
        size: approximate number of bytes of a chunk.
        progress: called with the number of bytes read so far, unless the format is one that is read at once.

    Raises:
        EmptyFile: it has no rows.
        ConversationError: it cannot be read.
        UsageError: the package for its format is not installed.
    """
    form = FORMATS[file.kind]
    if form.by_path:
        try:
            digest = digest_of(file.path)
        except OSError as error:
            raise unreadable(file.path, error, ConversationError) from None
        chunks = tuple(form.chunks(None, file, size, limit))
    else:
        with open_file(file) as (source, reader):
            chunks = tuple(_metered(form.chunks(source, file, size, limit), progress))
            digest = reader.digest()
    if not any(chunk.rows for chunk in chunks):
        raise EmptyFile(f"{file.path} is empty")
    return Scan(file, chunks, digest)


def _metered(chunks: Iterable[Chunk], progress: Callable[[int], None]) -> Iterator[Chunk]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += chunk.weight
        progress(done)


def stream(file: DataFile, wanted: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the bytes of chunks, which are in order, of a file that is not seekable.

    Raises:
        ConversationError: it cannot be read.
    """
    if (stream_chunks := FORMATS[file.kind].stream) is not None:
        yield from stream_chunks(file, wanted)
        return
    with open_file(file) as (source, _):
        at = 0
        for chunk in wanted:
            while at < chunk.start:
                skipped = len(source.read(min(chunk.start - at, CHUNK_BYTES)))
                if not skipped:
                    raise ConversationError(f"{file.path} changed while it was read")
                at += skipped
            data = b"" if chunk.too_long else source.read(chunk.size)
            at += len(data)
            yield data


def load(file: DataFile, chunk: Chunk) -> bytes:
    """Return the bytes of a chunk of a seekable file; raise `ConversationError` if it cannot be read."""
    if chunk.too_long:
        return b""
    try:
        with Path(file.path).open("rb") as source:
            source.seek(chunk.start)
            return source.read(chunk.size)
    except OSError as error:
        raise unreadable(file.path, error, ConversationError) from None


def rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Return the rows of a chunk from its bytes."""
    if chunk.too_long:
        return iter([RawRow(chunk.first, chunk.line, None, too_long(chunk.size))])
    return FORMATS[file.kind].rows(data, chunk, file)


def read(file: DataFile, *, limit: int | None = None) -> Iterator[RawRow]:
    """Yield the rows of a file with their places; a row that cannot be read has an error.

    Raises:
        ConversationError: the file cannot be read at all.
        UsageError: the package for its format is not installed.
    """
    found = (row for chunk, data in _with_bytes(file, limit) for row in rows(data, chunk, file))
    yield from islice(found, limit)


def _with_bytes(file: DataFile, limit: int | None) -> Iterator[tuple[Chunk, bytes]]:
    """Yield the chunks of a file with their bytes, as soon as they are found if they are ranges of the file."""
    if not is_seekable(file):
        scanned = scan(file, limit=limit)
        yield from zip(scanned.chunks, stream(file, scanned.chunks), strict=True)
        return
    any_rows = 0
    with open_file(file) as (source, _):
        for chunk in FORMATS[file.kind].chunks(source, file, CHUNK_BYTES, limit):
            any_rows = any_rows or chunk.rows
            yield chunk, load(file, chunk)
    if not any_rows:
        raise EmptyFile(f"{file.path} is empty")
