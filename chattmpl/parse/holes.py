"""The kinds of holes in a pattern: each reads a value that begins at a position of a text.

* ``json``: a JSON value;
* ``arguments``: a JSON value, kept together with its text, since not every way of writing it comes back;
* ``keywords``: arguments as in ``city="Oslo", n="3"``;
* ``python``: a value as Python prints it;
* ``numbered``: JSON values under the keys "0", "1", …, which stand for text when all are single letters.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

Reader = Callable[[str, int, int], tuple[Any, int] | None]
"""From a text, a position and an end: the value and where it ends, or None if there is none."""

_KEYWORD = re.compile(r'(\w[\w.-]*)="([^"]*)"')
_NUMBERED = re.compile(r' *"(\d+)": ')


@dataclass(frozen=True)
class Arguments:
    """Arguments of a call: the value, and its text in the rendering."""

    value: Any
    text: str


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def read_json(text: str, position: int, end: int) -> tuple[Any, int] | None:
    """A JSON value; None also for what is nested too deeply to be read, and for NaN and infinities."""
    try:
        value, stop = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None
    return (value, stop) if stop <= end else None


def _arguments(text: str, position: int, end: int) -> tuple[Any, int] | None:
    found = read_json(text, position, end)
    return None if found is None else (Arguments(found[0], text[position : found[1]]), found[1])


def _keywords(text: str, position: int, end: int) -> tuple[Any, int] | None:
    arguments: dict[str, str] = {}
    while (found := _KEYWORD.match(text, position, end)) is not None:
        arguments[found[1]] = found[2]
        position = found.end()
        if not text.startswith(", ", position):
            break
        position += 2
    return arguments, position


def _python(text: str, position: int, end: int) -> tuple[Any, int] | None:
    stop = text.find("\n", position, end)
    stop = end if stop < 0 else stop
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return ast.literal_eval(text[position:stop]), stop
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _numbered(text: str, position: int, end: int) -> tuple[Any, int] | None:
    items: list[Any] = []
    while (found := _NUMBERED.match(text, position, end)) is not None:
        item = read_json(text, found.end(), end)
        if item is None:
            return None
        items.append(item[0])
        position = item[1]
        if not text.startswith(",", position):
            break
        position += 1
    if all(isinstance(item, str) and len(item) == 1 for item in items):
        return "".join(items), position
    return [_part(item) for item in items], position


def _part(item: Any) -> Any:
    if isinstance(item, dict) and item.keys() == {"content"} and isinstance(item["content"], str):
        return {"type": "text", "text": item["content"]}
    return item


READERS: dict[str, Reader] = {
    "json": read_json,
    "arguments": _arguments,
    "keywords": _keywords,
    "python": _python,
    "numbered": _numbered,
}
"""By kind; a hole of another kind is text."""


def is_as_printed(arguments: Arguments) -> bool:
    """Whether printing the value gives its text again."""
    return json.dumps(arguments.value, ensure_ascii=False) == arguments.text
