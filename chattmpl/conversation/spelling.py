"""Spelling: which unknown key was meant to be a known one.

Unknown keys are allowed in most places, since templates read keys that nobody has heard of. A key that is nearly a
known one which is missing in the same dict is another matter: it is silently ignored by every template.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_OTHER_WORDS = frozenset({"context", "comment", "height", "time"})
"""Real words that stand in real data and are one or two letters away from a known key."""


def misspelt(key: str, missing: Iterable[str]) -> str | None:
    """The known key that an unknown one was meant to be, or None.

    Args:
        key: a key that is not known.
        missing: known keys that the same dict does not have (a key beside its right spelling is not a misspelling).
    """
    if key in _OTHER_WORDS:
        return None
    folded = _folded(key)
    for known in missing:
        allowed = 2 if len(known) >= 7 else 1
        if folded == _folded(known) or _distance(key, known, allowed) <= allowed:
            return known
    return None


@lru_cache(maxsize=4096)
def first_misspelt(keys: tuple[str, ...], known: frozenset[str]) -> tuple[str, str] | None:
    """The first key that is a misspelling of a known one that is not there, with what it was meant to be, or None.

    Cached, since the rows of a data set have the same keys again and again.
    """
    missing = sorted(known.difference(keys))
    for key in keys:
        if isinstance(key, str) and key not in known and (meant := misspelt(key, missing)):
            return key, meant
    return None


def _folded(key: str) -> str:
    return key.replace("_", "").replace("-", "").replace(" ", "").lower()


def _distance(a: str, b: str, limit: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) between two words; inexact above the limit."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before_last: list[int] = []
    last = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[-1]
