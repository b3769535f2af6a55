"""A source cut into what stands in it one after the other: text, expressions, tags, comments; and how to cut further.

Fixes are edits of the source, and these are the places at which a tag can be put in or taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from chattmpl.lint.context import LintContext
from chattmpl.syntax.edits import Edit

_ENDS = {"variable_begin": "variable_end", "block_begin": "block_end", "raw_begin": "raw_end"}
_KINDS: dict[str, Literal["expression", "tag", "raw"]] = {
    "variable_begin": "expression",
    "block_begin": "tag",
    "raw_begin": "raw",
}
_OPENERS = frozenset({"for", "if", "macro", "call", "filter", "block", "autoescape", "with", "generation", "reasoning"})
_LOOSER = frozenset({"if", "else", "and", "or", "not", "in", "is"})
_COMPARING = frozenset({"==", "!=", "<", ">", "<=", ">=", "-", "=", ","})
_NATURAL = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|\s|[^\s<\[]+|.", re.DOTALL)
"""What a text is cut between: control tokens, words, and each character of white space."""


@dataclass(frozen=True)
class Piece:
    """One thing in the source.

    Attributes:
        kind: what it is.
        start, end: its character range with delimiters, without the white space that it trims.
        name: of a tag its first word, else nothing.
        tokens: what stands between the delimiters, as (offset, type, text), without white space.
    """

    kind: Literal["text", "expression", "tag", "raw", "comment"]
    start: int
    end: int
    name: str = ""
    tokens: tuple[tuple[int, str, str], ...] = ()

    @property
    def opens(self) -> bool:
        """Whether it is a tag that has an end tag."""
        if self.name == "set":
            return all(value != "=" for _, kind, value in self.tokens if kind == "operator")
        return self.name in _OPENERS

    @property
    def closes(self) -> bool:
        """Whether it is an end tag."""
        return self.name.startswith("end")


def pieces(subject: LintContext) -> list[Piece]:
    """The pieces of a template in order; what is left between them is white space that is trimmed."""
    found: list[Piece] = []
    raw = iter(subject.tokens)
    for offset, kind, value in raw:
        if kind == "data" and value:
            found.append(Piece("text", offset, offset + len(value)))
        elif kind == "comment_begin":
            end = next(at + len(text.rstrip()) for at, kind, text in raw if kind == "comment_end")
            found.append(Piece("comment", offset, end))
        elif kind in _ENDS:
            inner = []
            for token in raw:
                if token[1] == _ENDS[kind]:
                    break
                if token[1] != "whitespace":
                    inner.append(token)
            name = inner[0][2] if kind == "block_begin" and inner else ""
            end = token[0] + len(token[2].rstrip())
            found.append(Piece(_KINDS[kind], offset, end, name, tuple(inner)))
    return found


def block_end(given: list[Piece], index: int) -> int | None:
    """The index of the tag that closes the block which the piece at an index opens."""
    depth = 0
    for at in range(index, len(given)):
        depth += given[at].opens - given[at].closes
        if depth == 0:
            return at
    return None


def siblings(given: list[Piece], index: int, step: Literal[1, -1]) -> Iterator[tuple[int, int]]:
    """The units beside a piece, nearest first, up to the edge of the block around it: (first, last) indices.

    A unit is a block with all that is in it, or a single piece.
    """
    at = index + step
    while 0 <= at < len(given):
        piece = given[at]
        enters, leaves = (piece.opens, piece.closes) if step == 1 else (piece.closes, piece.opens)
        if leaves or piece.name in ("else", "elif"):
            return
        first = at
        if enters:
            depth = 0
            while 0 <= at < len(given):
                depth += (given[at].opens - given[at].closes) * step
                if depth == 0:
                    break
                at += step
            else:
                return
        yield (first, at) if step == 1 else (at, first)
        at += step


def operands(piece: Piece) -> list[tuple[int, int]]:
    """The ranges of what an expression joins with ``+`` or ``~``, where that is all it does at the outermost level."""
    ranges: list[tuple[int, int]] = []
    depth, start, end = 0, None, 0
    for offset, kind, value in piece.tokens:
        if kind == "operator" and value in "([{":
            depth += 1
        elif kind == "operator" and value in ")]}":
            depth -= 1
        outermost = depth == 0
        if outermost and ((kind == "name" and value in _LOOSER) or (kind == "operator" and value in _COMPARING)):
            return []
        if outermost and kind == "operator" and value in ("+", "~") and start is not None:
            ranges.append((start, end))
            start = None
            continue
        start = offset if start is None else start
        end = offset + len(value)
    return [] if start is None else [*ranges, (start, end)]


def natural_cuts(text: str) -> list[int]:
    """The offsets at which a text is cut, its two ends left out."""
    return [match.start() for match in _NATURAL.finditer(text)][1:]


def literal_cuts(source: str, start: int, end: int) -> list[int]:
    """The offsets in the source at which a string constant can be cut, its two ends left out."""
    value = constant(source, start, end)
    cuts = [literal_cut(source, start, end, length) for length in natural_cuts(value or "")]
    return [cut for cut in cuts if cut is not None]


def constant(source: str, start: int, end: int) -> str | None:
    """The text of a string constant; None if the range is no constant, or one with quotes inside of it."""
    literal = source[start:end]
    if len(literal) < 3 or literal[0] not in "'\"" or literal[-1] != literal[0] or literal[0] in literal[1:-1]:
        return None
    return _value(literal[1:-1])


def literal_cut(source: str, start: int, end: int, length: int) -> int | None:
    """The offset in the source behind so many characters of the text of a string constant."""
    # An escape is several characters of the source for one of the text, never the other way round.
    for offset in range(start + 1 + length, end):
        value = _value(source[start + 1 : offset])
        if value is not None and len(value) >= length:
            return offset if len(value) == length else None
    return None


def _value(inside: str) -> str | None:
    """What stands between the quotes of a constant, as Jinja reads it."""
    try:
        return inside.encode("ascii", "backslashreplace").decode("unicode-escape")
    except UnicodeDecodeError:
        return None


def removal(source: str, given: list[Piece], index: int) -> list[Edit]:
    """Edits that take a tag or comment out, with the white space that only it keeps from being written."""
    piece = given[index]
    before = given[index - 1] if index else None
    after = given[index + 1] if index + 1 < len(given) else None
    trimmed = (before is not None and before.kind != "text" and source[before.end - 3] == "-") or (
        after is not None and after.kind != "text" and source[after.start + 2 : after.start + 3] == "-"
    )
    if not trimmed:
        start = before.end if before else 0
        return [Edit(start, after.start if after else len(source), "")]
    line = source.rfind("\n", 0, piece.start) + 1
    newline = source.find("\n", piece.end)
    alone = newline >= 0 and not source[line : piece.start].strip() and not source[piece.end : newline].strip()
    return [Edit(line, newline + 1, "") if alone else Edit(piece.start, piece.end, "")]


def indentation(source: str, offset: int) -> str | None:
    """The white space before an offset, if nothing else stands before it on its line."""
    before = source[source.rfind("\n", 0, offset) + 1 : offset]
    return before if not before.strip() else None


def quoted(text: str) -> str:
    """A text as a constant of Jinja."""
    return repr(text)


def insertions(source: str, given: list[Piece], first: int, tag: str, margin: str | None) -> Iterator[list[Edit]]:
    """Ways to put a tag that trims on both sides before a piece and into it, from its start on.

    Args:
        source: the source.
        given: its pieces.
        first: the index of the piece.
        tag: the tag, as in ``{%- generation -%}``.
        margin: the indentation of a line that the tag gets of its own.
    """
    piece = given[first]
    text = source[piece.start : piece.end]
    before = given[first - 1] if first else None
    left = source[before.start : before.end] if before is not None and before.kind == "text" else ""
    if piece.kind == "text":
        yield _in_text(piece.start, left, text, tag)
        yield from (_in_text(piece.start + cut, text[:cut], text[cut:], tag) for cut in natural_cuts(text))
        return
    indent = indentation(source, piece.start)
    if left and before is not None:
        yield _in_text(before.end, left, "", tag)
    else:
        yield [Edit(piece.start, piece.start, tag if indent is None else f"{tag}\n{indent}")]
    if piece.kind != "expression":
        return
    above, below = ("", "") if indent is None or margin is None else (f"\n{margin}", f"\n{indent}")
    middle = f" }}}}{above}{tag}{above if tag.startswith('{%- end') else below}{{{{- "
    ranges = operands(piece)
    for index, (start, end) in enumerate(ranges):
        if index:
            yield [Edit(ranges[index - 1][1], start, middle)]
        for cut in literal_cuts(source, start, end):
            yield [Edit(cut, cut, f"{source[start]}{middle}{source[start]}")]


def _in_text(offset: int, left: str, right: str, tag: str) -> list[Edit]:
    """Edits that put a tag between two texts; white space that it would trim is written as a constant."""
    space_left, space_right = left[len(left.rstrip()) :], right[: len(right) - len(right.lstrip())]
    written = [f"{{{{ {quoted(space)} }}}}" if space else "" for space in (space_left, space_right)]
    return [Edit(offset - len(space_left), offset + len(space_right), f"{written[0]}{tag}{written[1]}")]


def without_overlaps(edits: Iterable[Edit]) -> tuple[Edit, ...] | None:
    """The edits in order, or None if two of them overlap."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    if any(one.end > other.start for one, other in pairwise(ordered)):
        return None
    return tuple(ordered)
