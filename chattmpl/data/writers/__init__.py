"""Writing encoded rows as data sets that trainers take."""

from __future__ import annotations

from chattmpl.data.writers.columns import COLUMNS, Block, Document, columns_named, record_batch, record_batch_of, schema
from chattmpl.data.writers.files import (
    FORMATS,
    Format,
    TableWriter,
    concatenate,
    join,
    read_json,
    write_json,
    write_lines,
)

__all__ = [
    "COLUMNS",
    "FORMATS",
    "Block",
    "Document",
    "Format",
    "TableWriter",
    "columns_named",
    "concatenate",
    "join",
    "read_json",
    "record_batch",
    "record_batch_of",
    "schema",
    "write_json",
    "write_lines",
]
