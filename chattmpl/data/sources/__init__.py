"""Sources: datasets of conversations as .jsonl, .json, Parquet and Arrow files and folders, read in bounded memory."""

from __future__ import annotations

from chattmpl.data.sources.files import Chunk, DataFile, Kind, RawRow, Scan, digest_of, find_files, refuse_replacing
from chattmpl.data.sources.reader import EmptyFile, load, read, rows, scan, stream

__all__ = [
    "Chunk",
    "DataFile",
    "EmptyFile",
    "Kind",
    "RawRow",
    "Scan",
    "digest_of",
    "find_files",
    "load",
    "read",
    "refuse_replacing",
    "rows",
    "scan",
    "stream",
]
