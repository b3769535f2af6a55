"""Reader of the metadata of GGUF files, as specified in the repository of ggml (``docs/gguf.md``).

A file begins with its magic, version, number of tensors and number of key/value pairs, and these pairs::

    b"GGUF"  uint32 version  uint64 tensors  uint64 pairs
    {string key  uint32 type  value}…

A string is its length as a uint64 and its UTF-8; an array is the type and number of its items and the items.

Only this part is read. Every length is checked against the size of the file before it is used, so that a damaged or
malicious file costs no more than its size.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from chattmpl.errors import TemplateError

_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The `struct` format of each type of fixed size."""

_LONGEST = 1 << 28
"""Maximum bytes of the metadata; a vocabulary of 262,144 tokens with its scores and merges takes 16 million."""

_MOST_ITEMS = 1 << 22
"""Maximum number of pairs, and of strings in an array."""

_DEEPEST = 4
"""Maximum depth of arrays in arrays."""


@dataclass(frozen=True)
class StringArray:
    """An array of strings, whose items are read when they are needed.

    Attributes:
        start: the offset of its first item.
        length: the number of items.
    """

    reader: _Reader
    start: int
    length: int

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self.length:
            raise IndexError(index)
        self.reader.at = self.start
        for _ in range(index):
            self.reader.skip(self.reader.number("Q"))
        return self.reader.text()


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a file: numbers, strings and string arrays; other arrays are left out.

    Raises:
        TemplateError: if it is not a GGUF file, or a damaged one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), min(size, _LONGEST), access=mmap.ACCESS_READ) if size else b""
    reader = _Reader(path, data)
    if reader.take(4) != b"GGUF":
        reader.fail("it does not begin with GGUF")
    version = reader.number("I")
    if not version & 0xFFFF:
        reader.order, reader.at = ">", 4
        version = reader.number("I")
    if version not in (2, 3):
        reader.fail(f"version {version} is unknown")
    reader.number("Q")
    pairs = reader.count(reader.number("Q"), 13)
    metadata = {}
    for _ in range(pairs):
        key = reader.text()
        value = reader.value(reader.number("I"))
        if value is not None:
            metadata[key] = value
    return metadata


class _Reader:
    def __init__(self, path: Path, data: bytes | mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0
        self.order = "<"

    def fail(self, reason: str) -> NoReturn:
        message = f"{self.path} is not a GGUF file, or a damaged one: {reason}"
        raise TemplateError(message, hint="download the file again")

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            self.fail(f"{size:,} bytes are missing at offset {self.at:,}")
        self.at += size

    def take(self, size: int) -> bytes:
        start = self.at
        self.skip(size)
        return self.data[start : self.at]

    def number(self, format: str) -> Any:
        return struct.unpack(self.order + format, self.take(struct.calcsize(self.order + format)))[0]

    def count(self, number: int, size: int) -> int:
        """Return a number of items that take at least this size; fail if the file cannot hold them."""
        if number > min(_MOST_ITEMS, (len(self.data) - self.at) // size):
            self.fail(f"{number:,} items at offset {self.at:,} exceed the file")
        return number

    def text(self) -> str:
        start = self.at
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError:
            self.fail(f"the string at offset {start:,} is not UTF-8")

    def value(self, kind: int, depth: int = 0) -> Any:
        """Return the value at the current offset; None for an array that is skipped."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _FORMATS:
            self.fail(f"there is no type {kind}")
        return self.number(_FORMATS[kind])

    def _array(self, depth: int) -> StringArray | None:
        kind, number = self.number("I"), self.number("Q")
        if kind in _FORMATS:
            self.skip(number * struct.calcsize(self.order + _FORMATS[kind]))
            return None
        if kind == _STRING:
            found = StringArray(self, self.at, self.count(number, 8))
            for _ in range(number):
                self.skip(self.number("Q"))
            return found
        if kind != _ARRAY or depth == _DEEPEST:
            self.fail(f"an array of type {kind} at offset {self.at:,}")
        for _ in range(self.count(number, 12)):
            self._array(depth + 1)
        return None
