"""Pieces that a compiled template writes, gathered into one text with runs.

A piece is a value with the statement that wrote it. Gathering assigns each run without a statement to the statement of
its piece, and marks it as generated if that statement is inside a generation tag.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from chattmpl.budget import charge, check_size
from chattmpl.provenance.origin import REBUILT, Run, Statement, TurnMark
from chattmpl.provenance.serialization import to_text
from chattmpl.provenance.text import Traced, runs_of, with_origin

Piece: TypeAlias = "tuple[Any, Statement | None]"

_RUN = 64
"""Bytes charged to the budget for each run of a traced value."""

_SPAN = 256
"""Bytes charged for each run that becomes part of a span."""

NO_TURN: Piece = (TurnMark(None, None), None)
"""Marks the end of a message: no message is being rendered after it."""

REBUILT_TURN: Piece = (TurnMark(REBUILT, None), None)
"""Marks the start of a message that the template built from others."""


def gather(pieces: Iterable[Piece]) -> tuple[str, list[Run]]:
    """Return the text of the pieces, and its runs."""
    texts: list[str] = []
    runs: list[Run] = []
    add_text = texts.append
    add_run = runs.append
    size = 0
    for value, statement in pieces:
        kind = type(value)
        if kind is not str and kind is not Traced:
            if kind is TurnMark:
                add_run((0, value, None))
                continue
            value = _printed(value, statement)
            kind = type(value)
        if not value:
            continue
        add_text(value)
        length = len(value)
        size += length
        if kind is str:
            add_run((length, None, statement))
            continue
        origin: Any = value._origin if kind is Traced else runs_of(value)
        if type(origin) is not tuple:
            add_run((length, origin, statement))
            continue
        charge(_RUN * len(origin))
        for run in origin:
            add_run((run[0], run[1], _claimed(run[2], statement)))
    check_size(size)
    text = "".join(texts)
    charge(str.__sizeof__(text) + _SPAN * len(runs))
    return text, runs


def _printed(value: Any, statement: Statement | None) -> str:
    """Return the text of a value; an error records the statement, which is missing from the traceback here."""
    try:
        return to_text(value)
    except Exception as error:
        error.statement = statement  # type: ignore[attr-defined]
        raise


def _claimed(inner: Statement | None, outer: Statement | None) -> Statement | None:
    if inner is None:
        return outer
    return inner.sampled if outer is not None and outer.generated else inner


def concat_pieces(pieces: Iterable[Piece]) -> str:
    """Return the output that a macro, a ``set`` block or a filter block captured, as one string."""
    text, runs = gather(pieces)
    return with_origin(text, tuple(runs))


def sampled(piece: Piece) -> Piece:
    """Return a piece of a ``block`` marked as generated, because the block is inside a generation tag."""
    value, statement = piece
    return value, statement.sampled if statement is not None else None
