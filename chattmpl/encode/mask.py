"""Loss masks: the trained characters of a rendering, and the tokens that cover them."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from chattmpl.encode.encoding import Straddle
from chattmpl.encode.offsets import Ranges
from chattmpl.errors import EncodeError
from chattmpl.options import MaskChoice, StraddleChoice
from chattmpl.provenance.origin import field_path
from chattmpl.template.special_tokens import TAG

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation
    from chattmpl.template.spans import Span
    from chattmpl.template.template import Rendering

Edges = dict[int, tuple[Literal["start", "end"], int | None]]
"""For each edge of a generated or trained range, in order: the side, and the turn that is generated there."""

_REASONING_FIELD = re.compile(r"(?:reasoning_content|reasoning|thinking)\b")
_THINK_TAG = re.compile(r"<[^<>\s]{0,48}(?:think|reason|thought)[^<>\s]{0,48}>", re.IGNORECASE)
_CLOSING = re.compile(r"</|\|/|\bend[_▁]|[_▁]end\b", re.IGNORECASE)
_BLANK = re.compile(r"\s*")


class TurnRange(NamedTuple):
    """Generated characters ``[start, end)`` of one turn; ``turn`` is None if the template does not show the turn."""

    start: int
    end: int
    turn: int | None


class SpanField(NamedTuple):
    """The field of the conversation that a span comes from."""

    message: int | None
    path: str | None

    def __str__(self) -> str:
        return field_path(self.message, self.path) or "the text"


class SpanIndex:
    """Lookups in the spans of a rendering: by character, by turn, and by whether they are generated."""

    def __init__(self, rendering: Rendering) -> None:
        self.text = rendering.text
        self.spans = rendering.spans
        self._starts = [span.start for span in self.spans]

    def within(self, start: int, end: int) -> Sequence[Span]:
        """Return the spans that have a character in ``[start, end)``."""
        first = max(0, bisect.bisect_right(self._starts, start) - 1)
        return self.spans[first : bisect.bisect_left(self._starts, end)]

    def field(self, offset: int) -> SpanField:
        """Return the field that one character comes from."""
        span = self.within(offset, offset + 1)[0]
        return SpanField(span.message, span.field)

    def foreign_field(self, start: int, end: int) -> SpanField | None:
        """Return the first field that contributes to a control token at ``[start, end)``; None for the template's own.

        A role between brackets of the template (``'<|' + message.role + '|>'``) counts as written by the template:
        templates build headers this way, and a role is one of a few known words.
        """
        first = self.spans[bisect.bisect_right(self._starts, start) - 1]
        if end <= first.end and first.literal:
            return None  # the common case
        spans = self.within(start, end)
        others = [span for span in spans if not span.literal]
        if not others or (len(others) < len(spans) and all(span.field == "role" for span in others)):
            return None
        return SpanField(others[0].message, others[0].field)

    @cached_property
    def turns(self) -> list[tuple[int, int | None]]:
        """Runs of one turn as (first character, message index); each reaches to the next, the last to the end."""
        runs: list[tuple[int, int | None]] = []
        for span in self.spans:
            turn = _turn(span)
            if not runs or runs[-1][1] != turn:
                runs.append((span.start, turn))
        return runs

    @cached_property
    def generated(self) -> list[TurnRange]:
        """The generated spans; adjacent spans of one turn are joined."""
        ranges: list[TurnRange] = []
        for span in self.spans:
            if not span.generated:
                continue
            turn, last = _turn(span), ranges[-1] if ranges else None
            if last is not None and last.end == span.start and (last.turn == turn or None in (last.turn, turn)):
                ranges[-1] = TurnRange(last.start, span.end, last.turn if turn is None else turn)
            else:
                ranges.append(TurnRange(span.start, span.end, turn))
        return ranges


def _turn(span: Span) -> int | None:
    """Return the message being rendered, or the message that the characters come from if no loop shows it."""
    return span.message if span.turn is None else span.turn


# -- trained characters


def trained_ranges(index: SpanIndex, conversation: Conversation, choice: MaskChoice) -> list[TurnRange]:
    """Return the characters that are trained under a mask choice, as ranges of one turn each.

    ``all`` takes every generated span, ``last`` those of the last assistant message, ``flags`` those of the messages
    with ``train: true`` or a weight above 0, ``no-reasoning`` all of them without the reasoning and its frame. A
    message with ``train: false`` or ``weight: 0`` is never trained, since its author asked for that.

    Raises:
        EncodeError: the choice is ``flags`` and no message has a flag.
    """
    flags: dict[int | None, bool | None] = dict(enumerate(message.trained for message in conversation.messages))
    ranges = [span for span in index.generated if flags.get(span.turn) is not False]
    if choice == "flags":
        if all(flag is None for flag in flags.values()):
            raise EncodeError(
                "mask='flags', but no message has a flag",
                hint="set train: true or a weight on the messages to train, or use mask='all'",
            )
        return [span for span in ranges if flags.get(span.turn)]
    if choice == "last":
        return list(_of_last(ranges, index.generated, conversation))
    if choice == "no-reasoning":
        return [TurnRange(start, end, span.turn) for span in ranges for start, end in _without_reasoning(index, span)]
    return ranges


def _of_last(
    ranges: Sequence[TurnRange], generated: Sequence[TurnRange], conversation: Conversation
) -> Iterator[TurnRange]:
    """Yield the ranges of the last assistant message, or of the last generated range if turns are unknown."""
    if not generated:
        return
    last = generated[-1].turn
    if last is not None:
        assistants = [index for index, message in enumerate(conversation.messages) if message.role == "assistant"]
        last = assistants[-1] if assistants else last
        yield from (span for span in ranges if span.turn == last)
    elif ranges and ranges[-1] == generated[-1]:
        yield ranges[-1]


def _without_reasoning(index: SpanIndex, generated: TurnRange) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range outside its reasoning and the frame of the reasoning."""
    reasoning = [*_around_fields(index, generated), *_between_tags(index, generated)]
    position = generated.start
    for start, end in _joined(sorted(reasoning)):
        if start > position:
            yield position, start
        position = max(position, end)
    if position < generated.end:
        yield position, generated.end


def _around_fields(index: SpanIndex, generated: TurnRange) -> Iterator[tuple[int, int]]:
    """Yield reasoning fields with the template's text before them and after them up to the first tag.

    A tag at the end of the range is its stop token and not part of a frame.
    """
    within = index.within(generated.start, generated.end)
    for number, span in enumerate(within):
        if span.field is None or not _REASONING_FIELD.match(span.field):
            continue
        start, end = span.start, span.end
        for before in reversed(within[:number]):
            if not before.literal:
                break
            start = before.start
        reach = end
        for after in within[number + 1 :]:
            if not after.literal:
                break
            reach = after.end
        reach = min(reach, generated.end)
        tag = TAG.search(index.text, end, reach)
        if tag is not None and tag.end() < generated.end:
            end = _skip_blank(index.text, tag.end(), reach)
        yield max(start, generated.start), min(end, generated.end)


def _between_tags(index: SpanIndex, generated: TurnRange) -> Iterator[tuple[int, int]]:
    """Yield the text between two think tags of the template: reasoning taken from the content, or an empty trace."""
    # A closing tag alone closes a tag of the generation prompt, which is not part of the turn.
    opened: int | None = generated.start
    for start, end in _literal_ranges(index, generated):
        for tag in _THINK_TAG.finditer(index.text, start, end):
            if not _CLOSING.search(tag[0]):
                opened = tag.start()
            elif opened is not None:
                yield max(opened, generated.start), _skip_blank(index.text, tag.end(), end)
                opened = None


def _literal_ranges(index: SpanIndex, generated: TurnRange) -> list[tuple[int, int]]:
    """Return the template's text in the turn of a range, from the start of the turn to the end of the range."""
    first = generated.start
    for start, turn in reversed(index.turns):
        if start <= generated.start:
            first = start if turn == generated.turn else generated.start
            break
    literals = [span for span in index.within(first, generated.end) if span.literal]
    return _joined([(max(span.start, first), min(span.end, generated.end)) for span in literals])


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join those of the sorted ranges that touch."""
    result: list[tuple[int, int]] = []
    for start, end in ranges:
        if result and result[-1][1] >= start:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _skip_blank(text: str, start: int, end: int) -> int:
    blank = _BLANK.match(text, start, end)
    return start if blank is None else blank.end()


# -- tokens


def token_mask(ranges: Ranges, trained: Sequence[TurnRange], straddle: StraddleChoice) -> list[int]:
    """Return 1 for each token that overlaps a trained range; with ``exclude``, for each that is inside one."""
    starts, ends = ranges
    result = [0] * len(starts)
    for start, end, _ in trained:
        if straddle == "exclude":
            first, last = bisect.bisect_left(starts, start), bisect.bisect_right(ends, end)
        else:
            first, last = bisect.bisect_right(ends, start), bisect.bisect_left(starts, end)
        if last > first:
            result[first:last] = [1] * (last - first)
    return result


def message_index(ranges: Ranges, turns: Sequence[tuple[int, int | None]]) -> list[int | None]:
    """Return, for each token, the turn of its first character."""
    starts, _ = ranges
    if not turns:
        return [None] * len(starts)
    result: list[int | None] = []
    firsts = [bisect.bisect_left(starts, start) for start, _ in turns[1:]]
    for (_, turn), last in zip(turns, [*firsts, len(starts)], strict=True):
        result += [turn] * (last - len(result))
    return result


def range_edges(generated: Sequence[TurnRange], trained: Sequence[TurnRange]) -> Edges:
    """Return the characters where generated or trained text starts or ends."""
    edges: Edges = {}
    for start, end, turn in (*generated, *trained):
        edges.setdefault(start, ("start", turn))
        edges.setdefault(end, ("end", turn))
    return dict(sorted(edges.items()))


def find_straddles(text: str, ranges: Ranges, edges: Edges) -> Iterator[Straddle]:
    """Yield the tokens with characters on both sides of an edge."""
    starts, ends = ranges
    for edge, (side, turn) in edges.items():
        token = bisect.bisect_right(ends, edge)
        while token < len(starts) and starts[token] < edge:
            covered = text[starts[token] : ends[token]]
            yield Straddle(token, starts[token], ends[token], edge, side, covered, turn)
            token += 1
