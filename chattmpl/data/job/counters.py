"""Counts that workers make and the job adds up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Counts = dict[str, Any]
"""Numbers by name, perhaps in groups by name: what JSON can hold."""


def add(counts: Counts, more: Counts) -> None:
    """Adds counts to counts, group by group."""
    for name, value in more.items():
        if isinstance(value, dict):
            add(counts.setdefault(name, {}), value)
        else:
            counts[name] = counts.get(name, 0) + value


def total(each: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    counts: Counts = {}
    for some in each:
        add(counts, some)
    return counts


def count(counts: Counts, *path: str, by: int = 1) -> None:
    """Adds to one number, which is made where it is not there."""
    *groups, name = path
    for group in groups:
        counts = counts.setdefault(group, {})
    counts[name] = counts.get(name, 0) + by
