"""Source texts and places in them: lines, columns and excerpts for errors."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, replace
from functools import cached_property

from chattmpl.printable import one_line

_NEWLINE = re.compile("\n")
_EXCERPT_WIDTH = 100
"""Maximum characters of a line in an excerpt; templates with 5,000 characters on one line are common."""


def common_length(first: str, second: str, start: int = 0) -> int:
    """Return the length of the common beginning of two texts; of the first, the part from ``start`` on counts."""
    low, high = 0, min(len(first) - start, len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first.startswith(second[:middle], start):
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True)
class Source:
    """A text with a name for errors, usually a path.

    Lines and columns count from 1, offsets from 0, all in characters.

    Attributes:
        file: path of the file that holds the text among other things, such as a tokenizer_config.json; lines and
            columns are not those of the file then.
    """

    text: str
    name: str = "<string>"
    file: str | None = None

    def with_text(self, text: str) -> Source:
        """Return a source of the same name with another text."""
        return replace(self, text=text)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _NEWLINE.finditer(self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and column of a character offset; the end of the text is a valid offset."""
        line = bisect.bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line_offset(self, line: int) -> int:
        """Return the offset of the first character of a line, or of the last line if the text has fewer."""
        return self._line_starts[min(line, len(self._line_starts)) - 1]

    def line_text(self, line: int) -> str:
        """Return the text of a line without its newline."""
        start = self.line_offset(line)
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


@dataclass(frozen=True)
class Place:
    """A half-open character range of a source that an error or a diagnostic points to."""

    source: Source
    start: int
    end: int

    @classmethod
    def of_line(cls, source: Source, line: int) -> Place:
        """Return the place of a whole line without its indentation, for errors known only by line."""
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
        return f"{one_line(self.source.name)}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """Return the source line with carets under the range, as in ``  12 | {% generation %}`` and ``     | ^^^``.

        Of a range over several lines only the first is shown; a long line is cut around the range.
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
