"""Many lines of JSON at once, by orjson, where that reads what the strict reader reads.

orjson refuses what the strict reader refuses, but for two things: of a key that stands twice in an object it keeps the
last value, and of a whole number of more than 64 bits it makes a fraction. Lines that may hold such are left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import orjson
except ImportError:  # the strict reader reads all
    orjson = None

LEFT = object()
"""Stands for the value of a line that is for the strict reader."""

_QUOTE, _COLON, _BACKSLASH, _ZERO = b'":\\0'
_DIGITS = 19
"""As many as the longest number of 64 bits may have."""
_long_number = re.compile(rb"[0-9]{%d}" % _DIGITS).search


def values(lines: Sequence[bytes]) -> list[Any]:
    """The value of each line, or `LEFT`."""
    if orjson is None:
        return [LEFT] * len(lines)
    found: list[Any] = []
    for line in lines:
        try:
            found.append(orjson.loads(line))
        except ValueError:
            found.append(LEFT)
    read = [(line, value) for line, value in zip(lines, found, strict=True) if value is not LEFT]
    if not read or _same(b"".join([line for line, _ in read]), orjson.dumps([value for _, value in read])):
        return found
    if len(lines) == 1:
        return [LEFT]
    return [values([line])[0] for line in lines]


def _same(text: bytes, written: bytes) -> bool:
    """Whether no key was lost between a text and its values written anew, and no number changed.

    A key is followed by a colon, and inside a string a quotation mark has a backslash before it. Keys that end in a
    backslash, or have space before the colon, are not told from other things.
    """
    given = _keys(text)
    return given >= 0 and given == _keys(written) and not _spaced(text) and not _has_long_number(text)


def _keys(text: bytes) -> int:
    """How many keys a text has; -1 where that is not clear."""
    array = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(array[1:] == _COLON)
    places = places[array[places] == _QUOTE]
    escaped = places[array[places - 1] == _BACKSLASH]
    return -1 if (array[escaped - 2] == _BACKSLASH).any() else len(places) - len(escaped)


def _spaced(text: bytes) -> bool:
    array = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(array[1:] == _COLON)
    places = places[array[places] <= 32]
    return bool(len(places)) and re.search(rb'"\s+:', text) is not None


def _has_long_number(text: bytes) -> bool:
    step = _DIGITS // 2
    digits = np.frombuffer(text, dtype=np.uint8)[::step] - np.uint8(_ZERO) < 10
    places = np.flatnonzero(digits[1:] & digits[:-1]) * step
    return any(_long_number(text, max(0, place - _DIGITS), place + 2 * _DIGITS) for place in places.tolist())
