"""Sources: files and folders of conversations, in the formats of `formats.FORMATS`, read in bounded memory."""

from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow, Scan, digest_of
from chattmpl.data.sources.files import find_files, refuse_replacing
from chattmpl.data.sources.formats import is_seekable
from chattmpl.data.sources.reader import EmptyFile, load, read, rows, scan, stream

__all__ = [
    "Chunk",
    "DataFile",
    "EmptyFile",
    "RawRow",
    "Scan",
    "digest_of",
    "find_files",
    "is_seekable",
    "load",
    "read",
    "refuse_replacing",
    "rows",
    "scan",
    "stream",
]
