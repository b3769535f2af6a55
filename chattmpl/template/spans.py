"""Spans of a rendered text: the origin of its characters, and whether the model samples them."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from chattmpl.provenance.origin import REBUILT, Origin, Run, TurnMark


class Span(NamedTuple):
    """Characters ``[start, end)`` of a rendering that have one origin.

    Attributes:
        start, end: half-open range, in characters.
        message: index of the message that the characters came from; None for the template's own text and for tools,
            documents and kwargs.
        field: the field that they came from: ``content``, ``tool_calls[0].function.arguments.city``; outside messages
            ``tools[0].function.name``, ``documents[1].text``, ``chat_template_kwargs.date``. None for the template's
            own text.
        generated: whether they are inside a generation tag, so that the model samples them.
        turn: index of the message that was being rendered, also for the template's own text; None outside of turns.
        line: the template line that wrote them, from 1.
        derived: whether the characters were computed from the field rather than copied, or from an unknown field.
    """

    start: int
    end: int
    message: int | None
    field: str | None
    generated: bool
    turn: int | None = None
    line: int | None = None
    derived: bool = False

    @property
    def literal(self) -> bool:
        """True for the template's own text."""
        return self.message is None and self.field is None and not self.derived

    def to_dict(self) -> dict[str, Any]:
        """Return the span as JSON."""
        return self._asdict()


def spans_of(runs: Iterable[Run]) -> tuple[Span, ...]:
    """Return the spans of the runs that a template wrote."""
    spans = list(_merged(runs))
    if any(span.turn is not None for span in spans):
        return tuple(_with_rebuilt(spans))
    return tuple(_with_turns(spans))


def _merged(runs: Iterable[Run]) -> Iterator[Span]:
    position = start = 0
    turn: int | None = None
    rebuilt = 0  # counts down: each such turn has its own number until it is known which messages it holds
    key: tuple[Any, ...] | None = None
    for length, origin, statement in runs:
        if not length:
            if type(origin) is TurnMark:
                rebuilt -= origin.message == REBUILT
                turn = rebuilt if origin.message == REBUILT else origin.message
            continue
        line = None if statement is None else statement.line
        generated = statement is not None and statement.generated
        new: tuple[Any, ...]
        if origin is None:
            new = (None, None, generated, turn, line, False)
        else:
            # Text that was computed from something unknown belongs to the turn around it.
            known = turn if turn is None or turn >= 0 else None
            message = known if origin.derived and origin.field is None else origin.message
            new = (message, origin.field, generated, turn, line, origin.derived)
        if new != key:
            if key is not None:
                yield Span(start, position, *key)
            start, key = position, new
        position += length
    if key is not None:
        yield Span(start, position, *key)


def _with_rebuilt(spans: list[Span]) -> Iterator[Span]:
    """Assign turns to messages that the template rebuilt from others, by the fields that they contain.

    Text between the fields of two messages belongs to the message before it. A turn without fields belongs to the
    message after the one that was rendered last.
    """
    last: int | None = None
    for turn, group in groupby(spans, key=lambda span: span.turn):
        if turn is None or turn >= 0:
            last = turn if turn is not None else last
            yield from group
            continue
        inside = list(group)
        behind = 0 if last is None else last + 1
        known: int | None = next((span.message for span in inside if span.message is not None), behind)
        last = max((span.message for span in inside if span.message is not None), default=behind)
        for span in inside:
            known = span.message if span.message is not None else known
            yield span._replace(turn=known)


def _with_turns(spans: list[Span]) -> Iterator[Span]:
    """Assign turns for a template that does not loop over the messages, by the fields that it rendered.

    Text belongs to the next message. Generated text belongs to the message whose fields are in the same generated
    span, or else to the last message before it.
    """
    behind: list[tuple[int | None, int | None]] = []
    following = within = None
    for span in reversed(spans):
        following = span.message if span.message is not None else following
        within = (span.message if span.message is not None else within) if span.generated else None
        behind.append((following, within))
    before: int | None = None
    within = None
    for span, (after, after_within) in zip(spans, reversed(behind), strict=True):
        before = span.message if span.message is not None else before
        within = (span.message if span.message is not None else within) if span.generated else None
        if span.generated:
            known = (turn for turn in (within, after_within, before) if turn is not None)
            yield span._replace(turn=next(known, None))
        else:
            yield span._replace(turn=before if after is None else after)


def lost_fields(leaves: Iterable[Origin], runs: Iterable[Run]) -> tuple[str, ...]:
    """Return the paths of the leaves of which no character was rendered."""
    used: set[Origin] = set()
    for length, origin, _ in runs:
        if length and origin is not None:
            used.add(origin)
            used.update(origin.sources)
    return tuple(dict.fromkeys(leaf.path() for leaf in leaves if leaf not in used))
