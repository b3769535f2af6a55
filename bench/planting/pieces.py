"""A template's outputs and tags with offsets, and edits of them, independent of `chattmpl.syntax`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from chattmpl.syntax.lexer import tokens

_BEGINS = {"variable_begin": "output", "block_begin": "tag"}
_ENDS = ("variable_end", "block_end")


@dataclass(frozen=True)
class Piece:
    """An ``output`` or a ``tag``.

    Attributes:
        kind: ``output`` or ``tag``.
        start, end: its range in the source, with delimiters.
        body: the text between the delimiters.
        parents: the names of the tags that are open around it, outermost first.
        partner: for a tag that opens, the index of its end among the pieces, else -1.
    """

    kind: str
    start: int
    end: int
    body: str
    parents: tuple[str, ...] = ()
    partner: int = -1

    @property
    def name(self) -> str:
        """The first word."""
        return self.body.partition(" ")[0].partition("(")[0]

    @property
    def collected(self) -> bool:
        """True if a macro or a set block collects what it writes."""
        return not {"macro", "call", "set", "filter"}.isdisjoint(self.parents)

    @property
    def generated(self) -> bool:
        """True inside a generation tag."""
        return "generation" in self.parents


@lru_cache(maxsize=64)
def pieces(source: str) -> tuple[Piece, ...]:
    """Return the outputs and tags of a source, in order."""
    found: list[Piece] = []
    start, kind = 0, ""
    for offset, token, value in tokens(source):
        if token in _BEGINS:
            start, kind = offset, _BEGINS[token]
        elif token in _ENDS and kind:
            end = offset + len(value.rstrip())
            found.append(Piece(kind, start, end, source[start + 2 : end - 2].strip("-+ \n\t")))
            kind = ""
    return tuple(_nested(found))


def _nested(found: list[Piece]) -> Iterator[Piece]:
    partners: dict[int, int] = {}
    parents: list[tuple[str, ...]] = []
    waiting: list[int] = []
    for index, piece in enumerate(found):
        if piece.kind == "tag" and piece.name.startswith("end"):
            partners[waiting.pop()] = index
        parents.append(tuple(found[outer].name for outer in waiting))
        opens = piece.name in ("for", "if", "macro", "call", "filter", "generation", "with")
        if piece.kind == "tag" and (opens or (piece.name == "set" and "=" not in piece.body)):
            waiting.append(index)
    for index, piece in enumerate(found):
        yield Piece(piece.kind, piece.start, piece.end, piece.body, parents[index], partners.get(index, -1))


def outputs(source: str) -> Iterator[Piece]:
    """Return the outputs."""
    return (piece for piece in pieces(source) if piece.kind == "output")


def tags(source: str, *names: str) -> Iterator[Piece]:
    """Return the tags of these names."""
    return (piece for piece in pieces(source) if piece.kind == "tag" and piece.name in names)


def blocks(source: str, name: str) -> Iterator[tuple[Piece, Piece]]:
    """Return the tags of a name, each with its end."""
    for piece in tags(source, name):
        if piece.partner >= 0:
            yield piece, pieces(source)[piece.partner]


def replaced(source: str, *edits: tuple[int, int, str]) -> str:
    """Return the source with ranges replaced, which must not overlap."""
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def each_match(source: str, pattern: str, replacement: str) -> Iterator[str]:
    """Yield the source with one match replaced, for each match of a pattern in a tag or an output."""
    inside = [(piece.start, piece.end) for piece in pieces(source)]
    for match in re.finditer(pattern, source):
        if any(start <= match.start() and match.end() <= end for start, end in inside):
            yield source[: match.start()] + match.expand(replacement) + source[match.end() :]


def all_matches(source: str, pattern: str, replacement: str) -> Iterator[str]:
    """Yield the source with every match in a tag or an output replaced, if there is one."""
    result, changed = source, False
    for piece in reversed(pieces(source)):
        text = source[piece.start : piece.end]
        new = re.sub(pattern, replacement, text)
        if new != text:
            result, changed = result[: piece.start] + new + result[piece.end :], True
    if changed:
        yield result


def without(source: str, piece: Piece) -> str:
    """Return the source with an output that writes nothing instead."""
    left = "-" if source[piece.start + 2] == "-" else ""
    right = "-" if source[piece.end - 3] == "-" else ""
    return replaced(source, (piece.start, piece.end, f"{{{{{left} '' {right}}}}}"))
