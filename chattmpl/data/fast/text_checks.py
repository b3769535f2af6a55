"""Texts that take the exact path: those that may form a control token, and those with recent Unicode characters."""

import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

BOUNDARY = "\x00"
"""Character before the first and after each text of a row when the texts are searched together."""

_END = ""


class ControlTokenScanner:
    """Search for control tokens in the texts of a row: whole ones, and parts that could become one.

    Args:
        contents: the spellings of the control tokens.
        literals: the template's own texts. Where one ends inside a control token, a text that continues it is found.
        candidates: the spellings of other added tokens, which are control tokens where the template writes them.
    """

    def __init__(self, contents: Iterable[str], literals: Iterable[str], candidates: Collection[str]) -> None:
        by_first: dict[str, list[str]] = {}
        for content in contents:
            by_first.setdefault(content[0], []).append(content)
        # One pattern per first character: a search is several times faster if the pattern begins with one literal.
        self._searches = [
            (first, re.compile(re.escape(first) + _alternatives(_tree(found)[first])).search)
            for first, found in sorted(by_first.items())
        ]
        if endings := _missing_endings(literals, candidates):
            pattern = f"{BOUNDARY}\\s*{_alternatives(_tree(endings), root=True)}"
            self._searches.append((BOUNDARY, re.compile(pattern).search))

    def matches(self, texts: str) -> bool:
        """Return true if the texts, with `BOUNDARY` around each, contain a control token or may form part of one."""
        return any(first in texts and search(texts) is not None for first, search in self._searches)


def _tree(contents: Iterable[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for content in contents:
        node = tree
        for char in content:
            node = node.setdefault(char, {})
        node[_END] = {}
    return tree


def _alternatives(node: dict[str, Any], root: bool = False) -> str:
    """Return a pattern for the continuation: nothing after a whole token, else a next character or the text's end."""
    if _END in node:
        return ""
    parts = [re.escape(char) + _alternatives(below) for char, below in node.items()]
    if not root:
        parts.append(f"\\s*{BOUNDARY}")
    return f"(?:{'|'.join(parts)})"


def _missing_endings(literals: Iterable[str], candidates: Collection[str]) -> list[str]:
    """Return the texts that complete a token in which a text of the template ends."""
    endings: set[str] = set()
    for literal in literals:
        if any(literal.endswith(content) for content in candidates):
            continue
        for content in candidates:
            for length in range(min(len(content) - 1, len(literal)), 0, -1):
                if literal.endswith(content[:length]):
                    endings.add(content[length:])
    return sorted(endings)


def has_unassigned_characters(text: str) -> bool:
    """Return true if a text contains a character that Unicode 14 does not assign.

    Each tokenizer has tables that distinguish letters, digits and marks. Up to Unicode 14 these tables agree; newer
    ones assign more characters.

    Raises:
        UnicodeEncodeError: the text contains a lone surrogate.
    """
    if text.isascii():
        return False
    return bool(_unassigned()[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")].any())


@cache
def _unassigned() -> Any:
    # Lengths of the runs of code points, in base 36, alternately assigned and unassigned, from U+0000 on.
    runs = [int(run, 36) for run in (Path(__file__).parent / "unicode14.txt").read_text(encoding="ascii").split()]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
