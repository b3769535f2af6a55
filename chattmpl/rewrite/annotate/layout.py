"""The lexical structure of a source: texts, outputs with the parts that they join, and blocks with their branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from jinja2 import Environment

from chattmpl.source import Source
from chattmpl.syntax.lexer import tokens
from chattmpl.syntax.tree import Tag, parse

Token: TypeAlias = tuple[int, str, str]
"""Offset, type and text, as `chattmpl.syntax.lexer.tokens` gives them."""

_OPAQUE = frozenset({"if", "else", "and", "or", "not", "in", "is"})
"""Words that bind looser than what joins strings, or that say what Jinja binds otherwise than it looks."""
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "-", ","})
_OPENING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Part:
    """One operand of what an output joins, or the whole expression.

    Attributes:
        start, end: its range in the source, in characters, without white space around it.
        constant: its value, if it is one string.
        enclosed: whether it stands in parentheses that hold several parts.
    """

    start: int
    end: int
    constant: str | None = None
    enclosed: bool = False


@dataclass(frozen=True)
class Text:
    """What stands between tags, without what white space control takes away.

    Attributes:
        raw: whether it stands in a raw block.
    """

    start: int
    end: int
    raw: bool = False


@dataclass(frozen=True)
class Output:
    """``{{ … }}``, with its delimiters."""

    start: int
    end: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Statement:
    """A tag without a content, such as ``{% set x = y %}``."""

    tag: Tag

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.tag.start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.tag.end


@dataclass
class Block:
    """A tag with contents: one body for each of its branches.

    Attributes:
        opening: ``{% if %}``, ``{% for %}``, …
        closing: its end.
        bodies: the contents of the branches, in order.
    """

    opening: Tag
    closing: Tag
    bodies: list[list[Item]] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Where the opening tag begins."""
        return self.opening.start

    @property
    def end(self) -> int:
        """Where the closing tag ends."""
        return self.closing.end


Item: TypeAlias = "Text | Output | Statement | Block"

_BRANCHES = frozenset({"else", "elif"})


def layout(source: Source, environment: Environment) -> list[Item]:
    """The items of a source that compiles."""
    parsed = parse(source.text)
    raw = list(tokens(source.text))
    return _Reader(source.text, raw, {tag.start: tag for tag in parsed.tags}).read()


def variables(source: str, environment: Environment) -> list[tuple[int, str]]:
    """The names that stand in tags and expressions, but for those of attributes, each with its offset."""
    return [
        (offset, value)
        for offset, kind, value in tokens(source)
        if kind == "name" and source[max(offset - 1, 0)] != "."
    ]


def parts_of(source: str, start: int, end: int, environment: Environment) -> tuple[Part, ...]:
    """The operands of an expression that stands somewhere in a source."""
    inside = [token for token in tokens(source) if start <= token[0] < end]
    return tuple(_parts(inside))


def walk(items: list[Item]) -> Iterator[Item]:
    """All items in the order of the source, a block before what it holds."""
    for item in items:
        yield item
        if isinstance(item, Block):
            for body in item.bodies:
                yield from walk(body)


class _Reader:
    def __init__(self, text: str, raw: list[Token], tags: dict[int, Tag]) -> None:
        self._text = text
        self._tokens = raw
        self._tags = tags
        self._stack: list[tuple[Block | None, list[Item]]] = [(None, [])]

    def read(self) -> list[Item]:
        closers = self._closers()
        raw = False
        output: int | None = None
        for index, (offset, kind, value) in enumerate(self._tokens):
            if kind in ("raw_begin", "raw_end"):
                raw = kind == "raw_begin"
            elif kind == "data" and value:
                self._stack[-1][1].append(Text(offset, offset + len(value), raw))
            elif kind == "variable_begin":
                output = index
            elif kind == "variable_end" and output is not None:
                start = self._tokens[output][0]
                end = offset + len(value.rstrip()) if value[:1] != "-" else offset + 3
                parts = tuple(_parts(self._tokens[output + 1 : index]))
                self._stack[-1][1].append(Output(start, end, parts))
                output = None
            elif kind == "block_begin" and offset in self._tags:
                self._tag(self._tags[offset], closers)
        return self._stack[0][1]

    def _closers(self) -> dict[int, Tag]:
        """The closing tag of each tag that has one, by the offset of the opening tag."""
        found: dict[int, Tag] = {}
        open_tags: list[Tag] = []
        for tag in self._tags.values():
            if tag.name.startswith("end"):
                while open_tags:
                    opener = open_tags.pop()
                    if opener.name == tag.name[3:]:
                        found[opener.start] = tag
                        break
            else:
                open_tags.append(tag)
        return found

    def _tag(self, tag: Tag, closers: dict[int, Tag]) -> None:
        if tag.start in closers:
            block = Block(tag, closers[tag.start], [[]])
            self._stack[-1][1].append(block)
            self._stack.append((block, block.bodies[0]))
        elif tag.name.startswith("end") and len(self._stack) > 1:
            self._stack.pop()
        elif tag.name in _BRANCHES and (block_or_none := self._stack[-1][0]) is not None:
            block_or_none.bodies.append([])
            self._stack[-1] = (block_or_none, block_or_none.bodies[-1])
        else:
            self._stack[-1][1].append(Statement(tag))


def _parts(inside: list[Token], enclosed: bool = False) -> Iterator[Part]:
    """The operands of ``+`` and ``~``, from the left."""
    inside = _stripped(inside)
    if not inside:
        return
    unwrapped = _unwrapped(inside)
    if unwrapped is not None:
        yield from _parts(unwrapped, True)
        return
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in inside:
        _, kind, value = token
        depth += (value in _OPENING) - (value in _OPENING.values()) if kind == "operator" else 0
        if depth == 0 and (value in _OPAQUE if kind == "name" else kind == "operator" and value in _COMPARISONS):
            yield _part(inside, enclosed)
            return
        if depth == 0 and kind == "operator" and value in "+~":
            pieces.append([])
        else:
            pieces[-1].append(token)
    if len(pieces) == 1 or not all(_stripped(piece) for piece in pieces):
        yield _part(inside, enclosed)
        return
    for piece in pieces:
        yield from _parts(piece, enclosed)


def _part(inside: list[Token], enclosed: bool) -> Part:
    inside = _stripped(inside)
    constant = None
    if len(inside) == 1 and inside[0][1] == "string":
        constant = value_of(inside[0][2])
    return Part(inside[0][0], inside[-1][0] + len(inside[-1][2]), constant, enclosed)


def _stripped(inside: list[Token]) -> list[Token]:
    return [token for token in inside if token[1] != "whitespace"]


def _unwrapped(inside: list[Token]) -> list[Token] | None:
    """What stands in the parentheses that enclose all, if some do."""
    if inside[0][2] != "(" or inside[-1][2] != ")":
        return None
    depth = 0
    for index, (_, kind, value) in enumerate(inside):
        if kind == "operator":
            depth += (value in _OPENING) - (value in _OPENING.values())
        if depth == 0 and index < len(inside) - 1:
            return None
    return inside[1:-1]


def value_of(literal: str) -> str:
    """The value of a string constant, as Jinja reads it."""
    body = literal[1:-1]
    value: str = body.encode("ascii", "backslashreplace").decode("unicode-escape")
    return value


def cut_of(literal: str, length: int) -> int:
    """Where in a string constant, its quotation marks included, the first ``length`` characters of its value end."""
    for end in range(1, len(literal)):
        try:
            if len(value_of(literal[:end] + literal[0])) == length and not _in_escape(literal[1:end]):
                return end
        except UnicodeDecodeError:
            continue
    raise AssertionError(f"{literal} has no {length} characters")


def _in_escape(body: str) -> bool:
    backslashes = len(body) - len(body.rstrip("\\"))
    return backslashes % 2 == 1


__all__ = [
    "Block",
    "Item",
    "Output",
    "Part",
    "Statement",
    "Text",
    "cut_of",
    "layout",
    "parts_of",
    "value_of",
    "variables",
    "walk",
]
