"""Unrolling: one row per assistant turn, or fewer if they suffice, where history is rendered differently than sampled.

Under a retention policy that drops earlier reasoning, the model never sees the earlier turns of a row as they are
rendered there. Unrolling puts each turn after its own prompt: the tokens of the conversation before it with the
generation prompt, then the turn as it is rendered last. If the row of a later turn contains
a turn token by token, the turn is trained there; if the plain row contains all of them, it is the only row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chattmpl.conversation.models import Conversation, Message
from chattmpl.data.rows import NOTHING_TO_TRAIN, Rejection, RejectionReason, Row
from chattmpl.encode import encode
from chattmpl.errors import ChatTmplError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chattmpl.data.encoder import Encoder


class Head(NamedTuple):
    """A conversation up to an assistant turn, which alone is trained; without a turn, the whole conversation."""

    turn_m: int | None
    conversation: Conversation


@dataclass
class Unrolled:
    """The rows of one conversation.

    Attributes:
        rows: in the order of the turns that they end with.
        too_long: turns for which no row fits.
        rejected: why there is no row at all, or none for some turns.
    """

    rows: list[Row] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def heads(conversation: Any, mask: str = "all") -> list[Head]:
    """Return the conversations to encode for unrolling one.

    A conversation without a trained turn is its own head.
    """
    whole = Conversation.coerce(conversation)
    turns = _trained_turns(whole.messages, mask)
    final = len(whole.messages) - 1
    if not turns:
        return [Head(None, whole)]
    found = [Head(turn, whole.with_messages(list(_only(whole.messages[: turn + 1], turn, mask)))) for turn in turns]
    if turns[-1] != final:
        found.append(Head(None, whole))
    return found


def _trained_turns(messages: Sequence[Message], mask: str) -> list[int]:
    """Return the messages that are trained under a mask choice."""
    assistant = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if mask == "last":
        assistant = assistant[-1:]
    if mask == "flags":
        return [index for index in assistant if messages[index].trained]
    return [index for index in assistant if messages[index].trained is not False]


def _only(messages: Sequence[Message], turn: int, mask: str) -> Iterable[Message]:
    """Flag the messages so that only one turn is trained."""
    for index, message in enumerate(messages):
        if index == turn:
            yield message if mask != "flags" else message.model_copy(update={"train": True, "weight": None})
        elif message.role == "assistant":
            yield message.model_copy(update={"train": False, "weight": None})
        else:
            yield message


def _prompt(encoder: Encoder, head: Head) -> NDArray[np.int32]:
    """Return the tokens of the prompt for a head's turn, as at inference."""
    earlier = head.conversation.with_messages(head.conversation.messages[: head.turn_m])
    rendering = encoder.template.render(earlier, True, encoder.now, **encoder.kwargs)
    ids = encode(rendering, encoder.tokenizer, control_tokens=encoder.options["control_tokens"]).input_ids
    return np.asarray(ids, dtype=np.int32)


def _sampling_start(encoder: Encoder, head: Head) -> int:
    """Return the token at which sampling of a head's turn starts, where its mask starts later."""
    rendering = encoder.template.render(head.conversation, False, encoder.now, **encoder.kwargs)
    encoding = encode(rendering, encoder.tokenizer, control_tokens=encoder.options["control_tokens"])
    return encoding.assistant_masks.index(1)


def unroll(encoder: Encoder, conversations: Sequence[Any], *, max_length: int | None = None) -> list[Unrolled]:
    """Return the rows of conversations in which each trained token follows what the model sees at inference.

    Rows longer than ``max_length`` tokens are not used.
    """
    each = [heads(conversation, encoder.options["mask"]) for conversation in conversations]
    results = iter(encoder.encode_many([head.conversation for some in each for head in some]))
    return [_combine([(head, next(results)) for head in some], encoder, max_length) for some in each]


def _after_prompt(row: Row, head: Head, encoder: Encoder) -> Row | Rejection:
    """Put a turn after its prompt; return the row unchanged if it is there already."""
    start = int(row.mask.argmax())
    if not row.mask[start:].any():
        return row
    try:
        before = _prompt(encoder, head)
        if encoder.options["mask"] == "no-reasoning":
            start = _sampling_start(encoder, head)
    except ChatTmplError as error:
        message = f"the prompt for messages[{head.turn_m}]: {error.message}"
        return Rejection(RejectionReason.RENDER, message, hint=error.hint)
    if np.array_equal(before, row.input_ids[:start]):
        return row
    ids = np.concatenate([before, row.input_ids[start:]])
    trained = np.concatenate([np.zeros(len(before), dtype=np.uint8), row.mask[start:]])
    index = row.message_index
    if index is not None:
        # The messages of the prompt's tokens are not known.
        index = np.concatenate([np.full(len(before), -1, dtype=np.int32), index[start:]])
    return replace(row, input_ids=ids, mask=trained, message_index=index)


def _combine(encoded: list[tuple[Head, Row | Rejection]], encoder: Encoder, max_length: int | None) -> Unrolled:
    rows: dict[int, Row] = {}
    whole: Row | None = None
    for head, result in encoded:
        if head.turn_m is not None and isinstance(result, Row):
            result = _after_prompt(result, head, encoder)
        if isinstance(result, Rejection):
            # The whole conversation is rejected, for the first reason.
            return Unrolled(rejected=[result])
        if head.turn_m is None:
            whole = result
        else:
            rows[head.turn_m] = result
    unrolled = Unrolled()
    if not rows:
        unrolled.rows = [] if whole is None else [whole]
        return unrolled
    ends = {turn: _end(row) for turn, row in rows.items()}
    waiting = [turn for turn in rows if ends[turn]]
    if not waiting:
        unrolled.rejected.append(NOTHING_TO_TRAIN)
        return unrolled
    if whole is not None and _fits(whole, max_length) and all(_contains(whole, rows[t], ends[t]) for t in waiting):
        unrolled.rows.append(_with_masks(whole, [rows[turn] for turn in waiting], [ends[turn] for turn in waiting]))
        return unrolled
    for turn in sorted(waiting, reverse=True):
        host = rows[turn]
        if turn not in waiting or not _fits(host, max_length):
            continue
        guests = [other for other in waiting if other <= turn and _contains(host, rows[other], ends[other])]
        unrolled.rows.append(_with_masks(host, [rows[other] for other in guests], [ends[other] for other in guests]))
        waiting = [other for other in waiting if other not in guests]
    unrolled.rows.reverse()
    unrolled.too_long = waiting
    return unrolled


def _fits(row: Row, max_length: int | None) -> bool:
    return max_length is None or len(row) <= max_length


def _end(row: Row) -> int:
    """Return the index after the last trained token; 0 if there is none."""
    trained = np.flatnonzero(row.mask)
    return int(trained[-1]) + 1 if len(trained) else 0


def _contains(host: Row, guest: Row, end: int) -> bool:
    """Return true if a row begins with another row's tokens up to an index."""
    return end <= len(host) and bool(np.array_equal(guest.input_ids[:end], host.input_ids[:end]))


def _with_masks(host: Row, guests: Sequence[Row], ends: Iterable[int]) -> Row:
    mask: NDArray[np.uint8] = np.zeros(len(host), dtype=np.uint8)
    for guest, end in zip(guests, ends, strict=True):
        mask[:end] |= guest.mask[:end]
    return replace(host, mask=mask)
