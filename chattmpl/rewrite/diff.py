"""Diffs of template sources: shown, and reduced to what matters."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

_PIECE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\n|[^{\n]+|\{", re.DOTALL)
"""A tag, an output, a comment, or text between them."""

_GROUP_SIZES = (1, 2, 3, 4)
"""Numbers of neighbouring changes that are reverted together: a tag, its end tag, and white space next to them."""

_MAX_TRIES = 40
"""Largest number of reverts that are tried; each is expensive to check."""


def unified_diff(name: str, before: str, after: str, label: str) -> str:
    """Return a unified diff, or an empty text if nothing changed.

    Args:
        name: name of the template.
        before: the source.
        after: the new source.
        label: distinguishes the name of the new one, such as ``annotated``.
    """
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} ({label})", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def minimize_diff(before: str, after: str, is_equivalent: Callable[[str], bool]) -> str:
    """Return the new source without the changes that make no difference.

    Args:
        before: the source.
        after: the new source.
        is_equivalent: returns whether a source is as good as the new one.
    """
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    different = [index for index, change in enumerate(changes) if change[0] != "equal"]
    reverted: set[int] = set()
    tries = 0
    for size in _GROUP_SIZES:
        for at in range(len(different) - size + 1):
            tried = reverted | set(different[at : at + size])
            tries += 1
            if tried != reverted and tries <= _MAX_TRIES and is_equivalent(_merged(old, new, changes, tried)):
                reverted = tried
    return _merged(old, new, changes, reverted)


def _merged(old: list[str], new: list[str], changes: Sequence[tuple[str, int, int, int, int]], kept: set[int]) -> str:
    pieces = [old[a:b] if index in kept else new[c:d] for index, (_, a, b, c, d) in enumerate(changes)]
    return "".join(piece for group in pieces for piece in group)


__all__ = ["minimize_diff", "unified_diff"]
