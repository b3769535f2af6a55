"""Origins of characters, the statements that wrote them, and runs of characters that share both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from chattmpl.budget import charge


class Origin:
    """The origin of characters. Origins are compared by identity: each leaf of a conversation has one object.

    Attributes:
        message: index of the message; None for tools, documents, kwargs and unknown origins.
        field: path of the field within the message (``content``, ``tool_calls[0].function.name``), or within the
            conversation if there is no message (``tools[0].function.name``); None if unknown.
        derived: the characters were computed from the field, not copied from it.
        sources: the origins from which a derived one was computed.
    """

    __slots__ = ("derived", "field", "message", "sources")

    def __init__(
        self, message: int | None, field: str | None, derived: bool = False, sources: tuple[Origin, ...] = ()
    ) -> None:
        self.message = message
        self.field = field
        self.derived = derived
        self.sources = sources

    def path(self) -> str:
        """Return the path within the conversation; see `field_path`."""
        return field_path(self.message, self.field)

    def __repr__(self) -> str:
        return f"<{'derived from ' if self.derived else ''}{self.path() or 'an unknown field'}>"


def field_path(message: int | None, field: str | None) -> str:
    """Return the path of a field, as in ``messages[1].content``; empty for the template's own text."""
    return ".".join(filter(None, ("" if message is None else f"messages[{message}]", field)))


REBUILT = -1
"""The ``message`` of a `TurnMark` whose message the template built itself, from one or several others."""


class TurnMark(Origin):
    """The origin of a run without characters, after which a message is being rendered."""

    __slots__ = ()


class Statement:
    """A part of the template that writes text: an output tag, or the plain text between two tags.

    Attributes:
        offset: its character offset in the compiled source.
        line: its line there, from 1.
        generated: whether it is inside a generation tag.
        sampled: the same statement as part of a generation tag.
    """

    __slots__ = ("generated", "line", "offset", "sampled")

    def __init__(self, offset: int, line: int, generated: bool) -> None:
        self.offset = offset
        self.line = line
        self.generated = generated
        self.sampled: Statement = self if generated else Statement(offset, line, True)


Run: TypeAlias = "tuple[int, Origin | None, Statement | None]"
"""A number of characters, their origin (None for the template's own text), and the statement that wrote them."""

RUN_BYTES = 32
"""Bytes charged for a run."""


def slice_runs(runs: tuple[Run, ...], start: int, stop: int) -> tuple[Run, ...]:
    """Return the runs of the characters ``[start, stop)``."""
    if len(runs) > 16:
        charge(RUN_BYTES * len(runs))
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


def merge_runs(runs: Iterable[Run]) -> list[Run]:
    """Join adjacent runs of the same origin and statement."""
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
