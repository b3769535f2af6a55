"""Jinja's own lexer, with the offset of every token.

Jinja gives line numbers only, and text that whitespace control trims vanishes from its tokens. What vanishes is
whitespace, so each token is found again in the source by skipping whitespace until it matches; every token then stands
at its offset. Offsets travel through Jinja's parser inside the line numbers, which it copies to every node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Lexer

_NEWLINES = re.compile(r"\r\n|\r")

_OPTIONS = (
    *(f"{what}_{end}_string" for what in ("block", "variable", "comment") for end in ("start", "end")),
    *("line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks"),
    *("newline_sequence", "keep_trailing_newline"),
)
"""The options of an environment that its lexer depends on."""


class Line(int):
    """A line number (from 1) that also knows the offset (in characters) of the token that it was read from."""

    offset: int

    def __new__(cls, number: int, offset: int) -> Line:
        """A number with its offset."""
        line = super().__new__(cls, number)
        line.offset = offset
        return line


class OffsetLexer(Lexer):
    """A lexer whose line numbers are `Line`s."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._options = tuple(getattr(environment, name) for name in _OPTIONS)

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """The raw tokens, as Jinja's ``tokeniter``."""
        return iter(_scanned(self._options, source)) if state is None else self.scan(source, name, filename, state)

    def scan(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """The raw tokens, read now."""
        text = normalize_newlines(source)
        position = 0
        try:
            for number, token, value in super().tokeniter(source, name, filename, state):
                position = _find(text, value, position)
                yield Line(number, position), token, value
                position += len(value)
        except TemplateSyntaxError as error:
            if not isinstance(error.lineno, Line):
                error.lineno = _line_of_error(text, position, error.lineno)
            raise


@lru_cache(maxsize=8)
def _scanned(options: tuple[Any, ...], source: str) -> tuple[tuple[int, str, str], ...]:
    """The raw tokens of a source, which compiling, the outline and lint ask for one after the other."""
    lexer = OffsetLexer(Environment(**dict(zip(_OPTIONS, options, strict=True))))
    return tuple(lexer.scan(source, None))


def _line_of_error(text: str, position: int, number: int) -> int:
    """Where the lexer gave up: after the last token and the whitespace behind it, if that is on the line it names."""
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
    """The text as Jinja reads it: CRLF and CR become LF."""
    return _NEWLINES.sub("\n", text)


def tokens(environment: Environment, source: str) -> list[tuple[int, str, str]]:
    """All raw tokens of a source as (offset, type, text), whitespace and comments included."""
    return list(_located(tuple(getattr(environment, name) for name in _OPTIONS), source))


@lru_cache(maxsize=8)
def _located(options: tuple[Any, ...], source: str) -> tuple[tuple[int, str, str], ...]:
    return tuple((line.offset, kind, value) for line, kind, value in _scanned(options, source))  # type: ignore[attr-defined]
