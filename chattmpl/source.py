"""Texts that errors and spans point into: a name, a text, and offsets turned into lines, columns and excerpts."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property

_NEWLINE = re.compile("\n")
_EXCERPT_WIDTH = 100
"""Longest part of a source line that an excerpt shows, in characters: templates on one line of 5,000 are common."""


@dataclass(frozen=True)
class Source:
    """A text with a name that a person would recognise, usually a path.

    Lines and columns count from 1, offsets from 0, all in characters.
    """

    text: str
    name: str = "<string>"

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _NEWLINE.finditer(self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset; the end of the text is a valid offset."""
        line = bisect.bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line_offset(self, line: int) -> int:
        """Offset of the first character of a line (the last line, where the text has fewer)."""
        return self._line_starts[min(line, len(self._line_starts)) - 1]

    def line_text(self, line: int) -> str:
        """The text of a line, without its newline."""
        start = self.line_offset(line)
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


@dataclass(frozen=True)
class Place:
    """A half-open character range of a source: where an error or a diagnostic points."""

    source: Source
    start: int
    end: int

    @classmethod
    def of_line(cls, source: Source, line: int) -> Place:
        """The text of a whole line, for errors of which no more is known."""
        start = source.line_offset(line)
        text = source.line_text(line)
        indent = len(text) - len(text.lstrip())
        return cls(source, start + indent, start + max(len(text.rstrip()), indent))

    @property
    def line(self) -> int:
        """Line of the first character, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, from 1."""
        return self.source.position(self.start)[1]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """The source line with carets under the range, as in ``  12 | {% generation %}`` and ``     | ^^^``.

        A range over several lines is shown by the carets of its first; a long line is cut around the range.
        """
        text = self.source.line_text(self.line).expandtabs(1)
        start = self.column - 1
        width = max(1, min(self.end - self.start, len(text) - start))
        left = max(0, min(start - 20, len(text) - _EXCERPT_WIDTH)) if len(text) > _EXCERPT_WIDTH else 0
        shown = text[left : left + _EXCERPT_WIDTH]
        before = "…" if left else ""
        after = "…" if left + _EXCERPT_WIDTH < len(text) else ""
        caret = " " * (start - left + len(before)) + "^" * max(1, min(width, len(shown) - (start - left)))
        number = f"{self.line:>4} | "
        return f"{number}{before}{shown}{after}\n{' ' * (len(number) - 2)}| {caret}"
