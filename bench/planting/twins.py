"""Edits that change nothing, so that they must add no finding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from planting.kind import only_source
from planting.oracle import Base
from planting.pieces import pieces, replaced, tags


def renamed(source: str) -> str:
    """Rename the loop variable over messages."""
    for loop in tags(source, "for"):
        name = re.match(r"for (\w+) in", loop.body)
        if name and "messages" in loop.body:
            return _renamed(source, name[1], "one_message")
    return source


def _renamed(source: str, old: str, new: str) -> str:
    for piece in reversed(pieces(source)):
        text = source[piece.start : piece.end]
        changed = re.sub(rf"(?<![.\w'\"]){old}\b(?!\s*=[^=])(?!['\"])", new, text)
        source = source[: piece.start] + changed + source[piece.end :]
    return source


def commented(source: str) -> str:
    """Put a comment before the first tag."""
    first = pieces(source)[0].start
    return replaced(
        source, (first, first, "{#- Turns, one after the other. -#}" if source[first + 2] == "-" else "{# Turns. #}")
    )


def noted(source: str) -> str:
    """Put a comment in each loop."""
    return replaced(source, *((loop.end, loop.end, "{#- each one #}") for loop in tags(source, "for")))


def spaced(source: str) -> str:
    """Add a space to tags."""
    edits = []
    for piece in pieces(source):
        at = piece.start + (3 if source[piece.start + 2] in "-+" else 2)
        edits.append((at, at, " "))
    return replaced(source, *edits)


def bracketed(source: str) -> str:
    """Put conditions in brackets."""
    edits = []
    for tag in tags(source, "if", "elif"):
        text = source[tag.start : tag.end]
        new = re.sub(r"^(\{%-?\s*(?:if|elif)\s+)(.*?)(\s*[-+]?%\})$", r"\1(\2)\3", text, flags=re.DOTALL)
        edits.append((tag.start, tag.end, new))
    return replaced(source, *edits)


def subscripted(source: str) -> str:
    """Read keys of the message with brackets."""
    for piece in reversed(pieces(source)):
        text = source[piece.start : piece.end]
        changed = re.sub(r"\bmessage\.(role|content|tool_calls|reasoning_content)\b", r"message['\1']", text)
        source = source[: piece.start] + changed + source[piece.end :]
    return source


TWINS: dict[str, Callable[[str], str]] = {
    "loop variable renamed": renamed,
    "comment at the top": commented,
    "comments in loops": noted,
    "spaces in tags": spaced,
    "conditions in brackets": bracketed,
    "keys in brackets": subscripted,
}


def twins(base: Base) -> Iterator[tuple[str, Base]]:
    """Return the twins of a template that render the same, by name."""
    for name, edit in TWINS.items():
        twin = base.with_source(edit(base.source))
        if twin.source != base.source and only_source(base, twin):
            yield name, twin
