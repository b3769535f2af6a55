"""Which characters are trained: the generated spans, less what the choice of mask leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from chattmpl.encode.span_index import Piece, Spans, merged
from chattmpl.errors import EncodeError

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation

MaskChoice = Literal["all", "last", "flags", "no-reasoning"]

_REASONING_FIELD = re.compile(r"(?:reasoning_content|reasoning|thinking)\b")
_TAG = re.compile(r"<\|[^<>|]*\|>|<｜[^<>｜]*｜>|</?\w+>")
_THINK_TAG = re.compile(r"<[^<>\s]*(?:think|reason|thought)[^<>\s]*>", re.IGNORECASE)
_CLOSING = re.compile(r"</|\|/|\bend[_▁]|[_▁]end\b", re.IGNORECASE)
_BLANK = re.compile(r"\s*")


def trained_pieces(spans: Spans, conversation: Conversation, choice: MaskChoice) -> list[Piece]:
    """The trained characters under a choice of mask, in pieces of one turn each.

    ``all`` takes every generated span, ``last`` those of the last assistant message, ``flags`` those of the messages
    with ``train: true`` or a weight above 0, ``no-reasoning`` all of them without the reasoning and its frame. A
    message that says ``train: false`` or ``weight: 0`` is never trained, whatever the choice: its author asked for it.

    Raises:
        EncodeError: if the choice is ``flags`` and no message has one.
    """
    flags: dict[int | None, bool | None] = dict(enumerate(message.trained for message in conversation.messages))
    pieces = [piece for piece in spans.generated if flags.get(piece.turn) is not False]
    if choice == "flags":
        if all(flag is None for flag in flags.values()):
            raise EncodeError(
                "no message says whether it is trained",
                hint="set train: true or a weight on the messages to train, or use mask='all'",
            )
        return [piece for piece in pieces if flags.get(piece.turn)]
    if choice == "last":
        return list(_of_last(pieces, spans.generated, conversation))
    if choice == "no-reasoning":
        return [Piece(start, end, piece.turn) for piece in pieces for start, end in _without_reasoning(spans, piece)]
    return pieces


def _of_last(pieces: Sequence[Piece], generated: Sequence[Piece], conversation: Conversation) -> Iterator[Piece]:
    """The pieces of the last assistant message; of the last generated turn, where the turns are not known."""
    if not generated:
        return
    last = generated[-1].turn
    if last is not None:
        of_assistant = [at for at, message in enumerate(conversation.messages) if message.role == "assistant"]
        last = of_assistant[-1] if of_assistant else last
        yield from (piece for piece in pieces if piece.turn == last)
    elif pieces and pieces[-1] == generated[-1]:
        yield pieces[-1]


def _without_reasoning(spans: Spans, piece: Piece) -> Iterator[tuple[int, int]]:
    """What is left of a piece without its reasoning and the frame around it."""
    out = [*_around_fields(spans, piece), *_between_tags(spans, piece)]
    position = piece.start
    for start, end in merged(sorted(out)):
        if start > position:
            yield position, start
        position = max(position, end)
    if position < piece.end:
        yield position, piece.end


def _around_fields(spans: Spans, piece: Piece) -> Iterator[tuple[int, int]]:
    """Reasoning by its field, with the template's own text before it and, after it, up to the first tag.

    A tag that ends the piece is its stop token, which is not part of a frame.
    """
    within = spans.within(piece.start, piece.end)
    for index, span in enumerate(within):
        if span.field is None or not _REASONING_FIELD.match(span.field):
            continue
        start, end = span.start, span.end
        for before in reversed(within[:index]):
            if not before.literal:
                break
            start = before.start
        reach = end
        for after in within[index + 1 :]:
            if not after.literal:
                break
            reach = after.end
        reach = min(reach, piece.end)
        tag = _TAG.search(spans.text, end, reach)
        if tag is not None and tag.end() < piece.end:
            end = _skip_blank(spans.text, tag.end(), reach)
        yield max(start, piece.start), min(end, piece.end)


def _between_tags(spans: Spans, piece: Piece) -> Iterator[tuple[int, int]]:
    """What stands between two think tags of the template's own, reasoning taken from the content or none at all."""
    opened: int | None = piece.start  # a close without an open: the prompt, which is no part of the turn, opened it
    for start, end in _own_runs(spans, piece):
        for tag in _THINK_TAG.finditer(spans.text, start, end):
            if not _CLOSING.search(tag[0]):
                opened = tag.start()
            elif opened is not None:
                yield max(opened, piece.start), _skip_blank(spans.text, tag.end(), end)
                opened = None


def _own_runs(spans: Spans, piece: Piece) -> list[tuple[int, int]]:
    """The template's own text in the turn of a piece up to its end, generated or not."""
    first = piece.start
    for start, turn in reversed(spans.turns):
        if start <= piece.start:
            first = start if turn == piece.turn else piece.start
            break
    own = [span for span in spans.within(first, piece.end) if span.literal]
    return merged([(max(span.start, first), min(span.end, piece.end)) for span in own])


def _skip_blank(text: str, start: int, end: int) -> int:
    blank = _BLANK.match(text, start, end)
    return start if blank is None else blank.end()
