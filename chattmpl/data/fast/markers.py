"""Generated spans as marker characters: written by a template, read from its output, turned into token masks.

Generation tags are lowered to plain Jinja that writes a marker character at each edge, so any Jinja renderer shows
which text the model samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from chattmpl import cache

if TYPE_CHECKING:
    from chattmpl.compiler.program import Program
    from chattmpl.syntax.items import Block

OPEN, CLOSE, SEPARATOR = "\x01", "\x02", "\x03"
"""Written at the start and end of a generated span, and between rows. Rows that contain one take the exact path."""

RESERVED = "chattmpl_"
"""Prefix of the names that the lowered template uses; no template kwarg may start with it."""

MARKERS = {f"{RESERVED}open": OPEN, f"{RESERVED}close": CLOSE}
"""The variables of the lowered template that hold the markers."""

MARK = f"{RESERVED}mark"
"""A variable that is only assigned, for the trim marks of its tag."""

Ranges = tuple[tuple[int, int], ...]
"""Half-open character ranges, in order."""

_SCOPES = frozenset({"macro", "call", "filter", "block", "set"})
_INHERITANCE = re.compile(r"\{%[-+]?\s*(?:extends|include|import|from|block)\b")


class Unsupported(Exception):
    """A template, tokenizer or option that the fast path does not support; the message is for people.

    Attributes:
        lasting: false if another environment may support it, as with another package.
    """

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def with_markers(program: Program, marked: bool = True) -> str:
    """Lower a template to plain Jinja in which each generation tag is a scope between two markers.

    Args:
        program: the template.
        marked: whether the markers are written.

    Raises:
        Unsupported: a marker would not end up where the tag starts or ends in the rendered text.
    """
    made_from = ("markers", str(marked), cache.hash_of_code("data/fast"), *program.made_from)
    return cache.recall(lambda: _with_markers(program.lowered.text, marked), *made_from)


def _with_markers(text: str, marked: bool) -> str:
    from chattmpl.syntax.edits import apply_edits
    from chattmpl.syntax.tree import parse

    if _INHERITANCE.search(text):
        raise Unsupported("the template includes or inherits from other templates, or has blocks")
    if RESERVED in text or any(mark in text for mark in (OPEN, CLOSE, SEPARATOR)):
        raise Unsupported(f"the template contains control characters or names that begin with {RESERVED}")
    edits = []
    for block in parse(text).blocks("generation"):
        if marked:
            _check_placement(block)
        # Two tags around each marker: the outer sides keep the trim marks of the author's tag, the inner ones trim
        # nothing.
        tag, end = block.opening, block.closing
        start, stop = (f"{{{{ {name} }}}}" if marked else "" for name in MARKERS)
        opening = f"{{%{tag.left} with +%}}{start}{{%+ set {MARK} = 0 {tag.right}%}}"
        closing = f"{{%{end.left} set {MARK} = 0 +%}}{stop}{{%+ endwith {end.right}%}}"
        edits += [tag.replace(opening), end.replace(closing)]
    return apply_edits(text, edits).text


def _check_placement(block: Block) -> None:
    for parent in block.blocks:
        if parent.name in _SCOPES:
            raise Unsupported(f"a generation tag is inside a {{% {parent.name} %}}, which may change its text")
    if any(tag.name in ("break", "continue") for tag in block.tags):
        raise Unsupported("a generation tag contains a {% break %} or {% continue %}")


def split_markers(text: str) -> tuple[str, Ranges]:
    """Return a text without its markers, and the character ranges between them, touching ranges merged."""
    ranges: list[tuple[int, int]] = []
    parts: list[str] = []
    length = 0
    for index, outside in enumerate(text.split(OPEN)):
        inside, _, rest = outside.partition(CLOSE) if index else ("", "", outside)
        if inside:
            ranges.append((length, length + len(inside)))
        parts += [inside, rest]
        length += len(inside) + len(rest)
    return "".join(parts), merge_touching(ranges)


def merge_touching(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Merge ranges, which are in order, that touch each other."""
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)
