"""Jinja's own lexer, with the offset of every token.

Jinja gives line numbers only, and text that white space control trims vanishes from its tokens. What vanishes is
white space, so each token is found again in the source by skipping white space until it matches; every token then has
an offset. Offsets travel through Jinja's parser inside the line numbers, which it copies to every node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Lexer

_NEWLINES = re.compile(r"\r\n|\r")
_LONGEST_INTEGER = 4_300
"""Maximum number of characters of an integer; Python does not convert longer ones."""

_AUTHORING = re.compile(r"<%([-+]?)(\s*)((?:end)?generation)(\s*)([-+]?)%>")


class Line(int):
    """A line number (from 1) that also knows the offset (in characters) of the token that it was read from."""

    offset: int

    def __new__(cls, number: int, offset: int) -> Line:
        """Make a number with its offset."""
        line = super().__new__(cls, number)
        line.offset = offset
        return line


class OffsetLexer(Lexer):
    """Lexer of chat templates (``trim_blocks``, ``lstrip_blocks``) whose line numbers are `Line`s."""

    def __init__(self) -> None:
        super().__init__(Environment(trim_blocks=True, lstrip_blocks=True))

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """Return the raw tokens, as Jinja's ``tokeniter`` does."""
        return iter(_scanned(source)) if state is None else self.scan(source, name, filename, state)

    def scan(
        self, source: str, name: str | None = None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """Read the raw tokens of a source."""
        text = normalize_newlines(source)
        position = 0
        try:
            for number, token, value in super().tokeniter(source, name, filename, state):
                position = _find(text, value, position)
                if token == "integer" and len(value) > _LONGEST_INTEGER:
                    raise TemplateSyntaxError(f"an integer of {len(value):,} digits", Line(number, position))
                yield Line(number, position), token, value
                position += len(value)
        except TemplateSyntaxError as error:
            if not isinstance(error.lineno, Line):
                error.lineno = _line_of_error(text, position, error.lineno)
            raise


LEXER = OffsetLexer()


@lru_cache(maxsize=8)
def _scanned(source: str) -> tuple[tuple[Line, str, str], ...]:
    """Return the raw tokens of a source, which the compiler and the readers of the tree ask for one after the other."""
    return tuple(LEXER.scan(source))  # type: ignore[arg-type]


def _line_of_error(text: str, position: int, number: int) -> int:
    """Return the offset at which the lexer failed: after the last token and white space, if on the reported line."""
    while position < len(text) and text[position].isspace():
        position += 1
    return Line(number, position) if text.count("\n", 0, position) + 1 == number else number


def _find(text: str, value: str, position: int) -> int:
    while not text.startswith(value, position):
        if not text[position : position + 1].isspace():
            raise AssertionError(f"no token {value!r} at offset {position}")
        position += 1
    return position


def normalize_newlines(text: str) -> str:
    """Turn CRLF and CR into LF, as Jinja does."""
    return _NEWLINES.sub("\n", text)


def iter_tokens(source: str) -> Iterator[tuple[int, str, str]]:
    """Read the raw tokens of a source one by one, as `tokens` returns them."""
    for line, kind, value in LEXER.scan(source):
        yield line.offset, kind, value  # type: ignore[attr-defined]


@lru_cache(maxsize=8)
def tokens(source: str) -> tuple[tuple[int, str, str], ...]:
    """Return all raw tokens of a source as (offset, kind, text), white space and comments included.

    Raises:
        TemplateSyntaxError: for what Jinja's lexer does not accept.
    """
    return tuple((line.offset, kind, value) for line, kind, value in _scanned(source))


def plain_delimiters(text: str) -> str:
    """Turn authoring delimiters, as in ``<% generation %>``, into Jinja's own; every other character keeps its place.

    Tags are replaced in text only: what looks like one inside a comment, a string or a raw block is left alone.

    Raises:
        TemplateSyntaxError: for what Jinja's lexer does not accept.
    """
    if "<%" not in text:
        return text
    pieces = []
    position, raw = 0, False
    for offset, kind, value in tokens(text):
        raw = kind == "raw_begin" or (raw and kind != "raw_end")
        if kind == "data" and not raw:
            pieces += [text[position:offset], _AUTHORING.sub(r"{%\1\2\3\4\5%}", value)]
            position = offset + len(value)
    return "".join(pieces) + text[position:]
