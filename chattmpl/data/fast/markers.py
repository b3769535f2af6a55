"""A template whose generation tags write marker characters: any Jinja engine can then tell what the model samples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chattmpl.syntax.edits import apply_edits
from chattmpl.syntax.tree import Block, parse

if TYPE_CHECKING:
    from chattmpl.compiler.program import Program

OPEN, CLOSE, SEPARATOR = "\x01", "\x02", "\x03"
"""Written where a generated span opens and closes, and between rows. Rows that hold one take the exact path."""

RESERVED = "chattmpl_"
"""What the names begin with that the lowered template uses; no kwarg may begin so."""

_SCOPES = frozenset({"macro", "call", "filter", "block", "set"})
_IGNORED_BY_OTHERS = re.compile(r"\{%[-+]?\s*(?:extends|include|import|from|block)\b")


class Unfit(Exception):
    """Something that the fast path cannot do; its text says what, for people."""


def with_markers(program: Program) -> str:
    """The template under its retention policy, in plain Jinja, with each generation tag a scope between two markers.

    Raises:
        Unfit: where a marker would not stand where the tag begins or ends in the rendered text.
    """
    text = program.lowered.text
    if _IGNORED_BY_OTHERS.search(text):
        raise Unfit("the template is made of several templates or blocks")
    if RESERVED in text or any(mark in text for mark in (OPEN, CLOSE, SEPARATOR)):
        raise Unfit(f"the template uses names that begin with {RESERVED}, or control characters")
    edits = []
    for block in parse(text).blocks("generation"):
        _check(block)
        # Two tags around each marker: the outer sides keep the signs of the author's tag, the inner ones trim nothing.
        tag, end = block.opening, block.closing
        opening = f"{{%{tag.left} with +%}}{{{{ {RESERVED}open }}}}{{%+ set {RESERVED}mark = 0 {tag.right}%}}"
        closing = f"{{%{end.left} set {RESERVED}mark = 0 +%}}{{{{ {RESERVED}close }}}}{{%+ endwith {end.right}%}}"
        edits += [tag.replace(opening), end.replace(closing)]
    return apply_edits(text, edits).text


def _check(block: Block) -> None:
    for parent in block.blocks:
        if parent.name in _SCOPES:
            raise Unfit(f"a generation tag stands inside a {{% {parent.name} %}}, which may change its text")
    if any(tag.name in ("break", "continue") for tag in block.tags):
        raise Unfit("a generation tag holds a {% break %} or {% continue %}")
