"""Rows whose own text could become a control token: these take the exact path, which keeps the two apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

LEAF_END = "\x00"
"""What stands before the first text of a row and behind each, when the row is looked through."""

_WHOLE = ""


class ControlScan:
    """Finds control tokens in the texts of a row, whole ones and parts that could become one.

    Args:
        contents: what the control tokens spell.
        literals: the template's own texts. Where one ends within a control token, a text that goes on so is found too.
        candidates: what other added tokens spell, which become control tokens where the template writes them.
    """

    def __init__(self, contents: Iterable[str], literals: Iterable[str], candidates: Collection[str]) -> None:
        by_first: dict[str, list[str]] = {}
        for content in contents:
            by_first.setdefault(content[0], []).append(content)
        # One pattern for each first character: a pattern that begins with one literal is searched several times faster.
        self._searches = [
            (first, re.compile(re.escape(first) + _alternatives(_tree(found)[first])).search)
            for first, found in sorted(by_first.items())
        ]
        if rests := _rests(literals, candidates):
            pattern = f"{LEAF_END}\\s*{_alternatives(_tree(rests), root=True)}"
            self._searches.append((LEAF_END, re.compile(pattern).search))

    def found(self, leaves: str) -> bool:
        """Whether the texts, with `LEAF_END` around each, hold a control token or could become a part of one."""
        return any(first in leaves and search(leaves) is not None for first, search in self._searches)


def _tree(contents: Iterable[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for content in contents:
        node = tree
        for char in content:
            node = node.setdefault(char, {})
        node[_WHOLE] = {}
    return tree


def _alternatives(node: dict[str, Any], root: bool = False) -> str:
    """What may follow: nothing more where a token is whole, else one of the next characters, or the end of the text."""
    if _WHOLE in node:
        return ""
    pieces = [re.escape(char) + _alternatives(below) for char, below in node.items()]
    if not root:
        pieces.append(f"\\s*{LEAF_END}")
    return f"(?:{'|'.join(pieces)})"


def _rests(literals: Iterable[str], candidates: Collection[str]) -> list[str]:
    """What is missing of a token where a text of the template ends within it."""
    rests: set[str] = set()
    for literal in literals:
        if any(literal.endswith(content) for content in candidates):
            continue
        for content in candidates:
            for length in range(min(len(content) - 1, len(literal)), 0, -1):
                if literal.endswith(content[:length]):
                    rests.add(content[length:])
    return sorted(rests)
