"""Data sets of conversations as files: .jsonl, .json, Parquet, Arrow, folders; read in pieces, in bounded memory."""

from __future__ import annotations

from chattmpl.data.sources.chunk import DataFile, Kind, Piece, RawRow, Scan
from chattmpl.data.sources.discovery import find_files, refuse_replacing
from chattmpl.data.sources.scanner import EmptyFile, load, read, rows, scan, stream

__all__ = [
    "DataFile",
    "EmptyFile",
    "Kind",
    "Piece",
    "RawRow",
    "Scan",
    "find_files",
    "load",
    "read",
    "refuse_replacing",
    "rows",
    "scan",
    "stream",
]
