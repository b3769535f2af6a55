"""Turns: a text behind its head, taken apart into the turns that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chattmpl.parse.block import Row
from chattmpl.parse.grammar import Frame, Grammar
from chattmpl.parse.pattern import Match
from chattmpl.parse.refusal import Refusal
from chattmpl.parse.reply import Reading, readings

_TRIES = 200
"""How many ends of a turn are tried before its text is given up."""


@dataclass(frozen=True)
class Turn:
    """Characters ``[start, end)`` of a text and the messages in them, each with all that it may be."""

    start: int
    end: int
    messages: tuple[tuple[Reading, ...], ...]


@dataclass(frozen=True)
class Scan:
    """The turns of a text, and why the last of them, if it was opened only, is not among them."""

    turns: tuple[Turn, ...]
    unclosed: Refusal | None


def scan(grammar: Grammar, text: str, position: int, *, in_user: bool = False, partial: bool = False) -> Scan:
    """The turns from a position of the text on.

    Args:
        grammar: of the family.
        text: the whole text.
        position: where the first turn begins, in characters.
        in_user: the position is in the content of a user's turn already.
        partial: stop at what is no turn, since more text may come.

    Raises:
        Refusal: something else than a turn stands there.
    """
    turns: list[Turn] = []
    while position < len(text) or in_user:
        try:
            found = _in_user(grammar, text, position) if in_user else _turn(grammar, text, position)
        except Refusal as refusal:
            if not partial:
                raise
            found = refusal
        in_user = False
        if isinstance(found, Refusal):
            return Scan(tuple(turns), found)
        turns.append(found)
        position = found.end
    return Scan(tuple(turns), None)


def _in_user(grammar: Grammar, text: str, position: int) -> Turn | Refusal:
    frame = next(frame for frame in grammar.frames if frame.facts.opens == grammar.user)
    return _content(grammar, frame, Match({}, position), text, position)


def _turn(grammar: Grammar, text: str, position: int) -> Turn | Refusal:
    """The turn at a position; a refusal for one of the assistant that goes to the end of the text unclosed."""
    refusal = None
    for frame in grammar.frames:
        if not text.startswith(frame.start, position):
            continue
        opened = frame.opens.match(text, position, len(text))
        if opened is None:
            continue
        try:
            if frame.facts.role == "assistant":
                return _reply(grammar, frame, opened, text, position)
            if frame.block is not None:
                return _row(grammar, frame, opened, text, position)
            return _content(grammar, frame, opened, text, position)
        except Refusal as found:
            refusal = refusal or found
    raise refusal or Refusal("no turn begins here", position)


def follows(grammar: Grammar, text: str, position: int) -> bool:
    """Whether the text ends here, or a turn may begin."""
    return position == len(text) or grammar.openers.match(text, position) is not None


def _ends(grammar: Grammar, closes: tuple[str, ...], text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where a turn that begins at ``start`` may end: the ends of its body and of itself."""
    if "" in closes:
        yield from ((found.start(),) * 2 for found in grammar.openers.finditer(text, start))
        yield len(text), len(text)
        return
    pattern = re.compile("|".join(re.escape(close) for close in sorted(closes, key=len, reverse=True)))
    for found in pattern.finditer(text, start):
        if follows(grammar, text, found.end()):
            yield found.start(), found.end()


def _reply(grammar: Grammar, frame: Frame, opened: Match, text: str, start: int) -> Turn | Refusal:
    refusal = None
    for tries, (stop, end) in enumerate(_ends(grammar, frame.facts.closes, text, opened.end)):
        if tries == _TRIES:
            break
        try:
            found = readings(grammar, text, opened.end, stop, inline=True)
        except Refusal as error:
            if refusal is None or error.start > refusal.start:
                refusal = error
            continue
        return Turn(start, end, (tuple(found),))
    if refusal is not None:
        raise refusal
    return _unclosed(frame, start, opened.end)


def _content(grammar: Grammar, frame: Frame, opened: Match, text: str, start: int) -> Turn:
    for stop, end in _ends(grammar, frame.facts.closes, text, opened.end):
        if frame.facts.role is None:
            return Turn(start, end, ())
        message: Reading = {"role": frame.facts.role, **opened.values, "content": text[opened.end : stop]}
        return Turn(start, end, ((message,),))
    raise _unclosed(frame, start, opened.end)


def _row(grammar: Grammar, frame: Frame, opened: Match, text: str, start: int) -> Turn:
    assert frame.block is not None
    row = frame.block.read(text, opened.end, len(text))
    for close in frame.facts.closes:
        end = row.end + len(close)
        if row.items and text.startswith(close, row.end) and follows(grammar, text, end):
            return Turn(start, end, tuple((_result(frame, opened, item),) for item in row.items))
    raise _unread(frame, row, start)


def _result(frame: Frame, opened: Match, item: Any) -> Reading:
    message: Reading = {"role": frame.facts.role, **opened.values, **item}
    if not isinstance(message["content"], str | list):
        raise Refusal("the result is neither text nor a list of parts", opened.end)
    return message


def _unclosed(frame: Frame, start: int, end: int) -> Refusal:
    closes = " or ".join(map(repr, frame.facts.closes))
    who = f"of the {frame.facts.role}" if frame.facts.role else "of the template"
    return Refusal(f"this turn {who} is never closed by {closes} with a turn or nothing behind it", start, end)


def _unread(frame: Frame, row: Row, start: int) -> Refusal:
    return Refusal(f"this turn is not written as the family writes those of {frame.facts.role!r}", start, row.end)
