"""Runs of characters that have one origin and one statement."""

from __future__ import annotations

from collections.abc import Iterable

from chattmpl.budget import charge
from chattmpl.provenance.origin import Run

RUN = 32
"""Bytes that a run is charged for."""


def cut(runs: tuple[Run, ...], start: int, stop: int) -> tuple[Run, ...]:
    """The runs of a slice."""
    if len(runs) > 16:
        charge(RUN * len(runs))
    position = 0
    kept: list[Run] = []
    for length, origin, statement in runs:
        end = position + length
        if end > start or (not length and position >= start):
            if position >= stop:
                break
            kept.append((min(end, stop) - max(position, start), origin, statement))
        position = end
    return tuple(kept)


def merged(runs: Iterable[Run]) -> list[Run]:
    """The runs, neighbours that are alike made one."""
    kept: list[Run] = []
    last: Run | None = None
    for run in runs:
        if last is not None and last[1] is run[1] and last[2] is run[2]:
            last = (last[0] + run[0], last[1], last[2])
            kept[-1] = last
        else:
            last = run
            kept.append(run)
    return kept
