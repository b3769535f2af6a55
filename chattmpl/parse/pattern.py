"""Patterns: text with holes, by which a family says how its turns and calls are written.

``${name}`` is a hole for text, which ends where the text that follows it in the pattern first stands; ``${tool:json}``
is one for a JSON value. The kinds of holes are in `chattmpl.parse.holes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.parse.holes import READERS

_HOLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True)
class Hole:
    """A place in a pattern, whose name tells what is found there."""

    name: str
    kind: str


@dataclass(frozen=True)
class Match:
    """What the holes of a pattern held, and where it ended."""

    values: Mapping[str, Any]
    end: int


@dataclass(frozen=True)
class Pattern:
    """A pattern, taken apart: strings and holes in turn."""

    parts: tuple[str | Hole, ...]

    @cached_property
    def start(self) -> str:
        """The text that it begins with, up to the first hole."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""

    def match(self, text: str, position: int, end: int, *, full: bool = False) -> Match | None:
        """The pattern at a position of the text, within ``[position, end)``; ``full`` asks that it ends at ``end``."""
        values: dict[str, Any] = {}
        for index, part in enumerate(self.parts):
            if isinstance(part, str):
                if not text.startswith(part, position) or position + len(part) > end:
                    return None
                position += len(part)
                continue
            found = self._fill(part, index, text, position, end, full)
            if found is None:
                return None
            values[part.name], position = found
        return None if full and position != end else Match(values, position)

    def _fill(self, hole: Hole, index: int, text: str, position: int, end: int, full: bool) -> tuple[Any, int] | None:
        after = self.parts[index + 1] if index + 1 < len(self.parts) else ""
        assert isinstance(after, str)
        reader = READERS.get(hole.kind)
        if reader is not None:
            found = reader(text, position, end)
            if found is not None and text.startswith(after, found[1]):
                return found
            if hole.kind != "arguments":
                return None
        if not after or (full and index + 2 == len(self.parts)):
            stop = end - len(after)
            if stop < position or not text.startswith(after, stop):
                return None
        else:
            stop = text.find(after, position, end)
            if stop < 0:
                return None
        return text[position:stop], stop


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """The pattern that a text of ``family.toml`` stands for."""
    parts: list[str | Hole] = []
    position = 0
    for found in _HOLE.finditer(pattern):
        if found.start() > position:
            parts.append(pattern[position : found.start()])
        name = found[1]
        parts.append(Hole(name, found[2] or ("arguments" if name == "arguments" else "text")))
        position = found.end()
    if position < len(pattern):
        parts.append(pattern[position:])
    return Pattern(tuple(parts))
