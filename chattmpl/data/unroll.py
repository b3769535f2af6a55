"""Unrolling: where history is rendered otherwise than it was sampled, one row for each turn, as at inference.

Under a retention policy that drops earlier reasoning, the model never sees a row's earlier turns as they stand there.
Each turn is therefore put behind its own prompt: the tokens of the conversation before it with the generation prompt,
and then what the turn is when it is the last one. Turns that stand so in a later turn's row are trained there, token by
token the same; where all of them stand so in the plain row, that is the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chattmpl.conversation.models import Conversation, Message
from chattmpl.data.samples import NOTHING_TO_TRAIN, Encodes, Refusal, Sample, taken
from chattmpl.encode import ControlTokenChoice, encode
from chattmpl.errors import ChatTmplError

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from chattmpl.template.template import Template


class Head(NamedTuple):
    """A conversation up to a turn of the assistant, which alone is trained; without a turn, the whole conversation."""

    turn_m: int | None
    conversation: Conversation


@dataclass
class Unrolled:
    """The rows of one conversation.

    Attributes:
        samples: in the order of the turns that they end with.
        too_long: turns for which there is no row that fits.
        refused: why there is no row at all, or none for some turns.
    """

    samples: list[Sample] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def heads(conversation: Any, mask: str = "all") -> list[Head]:
    """What is to be encoded to unroll a conversation.

    A conversation without a turn to train is its own head.
    """
    whole = Conversation.coerce(conversation)
    turns = _turns(whole.messages, mask)
    final = len(whole.messages) - 1
    if not turns:
        return [Head(None, whole)]
    found = [Head(turn, whole.with_messages(list(_only(whole.messages[: turn + 1], turn, mask)))) for turn in turns]
    if turns[-1] != final:
        found.append(Head(None, whole))
    return found


def _turns(messages: Sequence[Message], mask: str) -> list[int]:
    """The messages that are trained under a choice of mask."""
    assistant = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if mask == "last":
        assistant = assistant[-1:]
    if mask == "flags":
        return [index for index in assistant if messages[index].trained]
    return [index for index in assistant if messages[index].trained is not False]


def _only(messages: Sequence[Message], turn: int, mask: str) -> Iterable[Message]:
    """The messages, flagged so that only one turn is trained."""
    for index, message in enumerate(messages):
        if index == turn:
            yield message if mask != "flags" else message.model_copy(update={"train": True, "weight": None})
        elif message.role == "assistant":
            yield message.model_copy(update={"train": False, "weight": None})
        else:
            yield message


class Prompts:
    """What the model sees at inference, in tokens.

    Args:
        template, tokenizer: what to render and encode with.
        clock: what time the template is told that it is.
        kwargs: template kwargs, over those of a conversation.
        control_tokens: what becomes of those in messages.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: Any,
        *,
        clock: datetime | None = None,
        kwargs: Mapping[str, Any] | None = None,
        control_tokens: ControlTokenChoice = "escape",
    ) -> None:
        self.template, self.tokenizer = template, tokenizer
        self.clock, self.kwargs, self.control_tokens = clock, dict(kwargs or {}), control_tokens

    def before(self, head: Head) -> NDArray[np.int32]:
        """The tokens that stand before a head's turn.

        Raises:
            ChatTmplError: the template refuses what is said so far.
        """
        earlier = head.conversation.with_messages(head.conversation.messages[: head.turn_m])
        rendering = self.template.render(earlier, True, self.clock, **self.kwargs)
        ids = encode(rendering, self.tokenizer, control_tokens=self.control_tokens).input_ids
        return np.asarray(ids, dtype=np.int32)

    def start(self, head: Head) -> int:
        """The token at which a head's turn begins to be sampled, where the mask begins later."""
        rendering = self.template.render(head.conversation, False, self.clock, **self.kwargs)
        encoding = encode(rendering, self.tokenizer, control_tokens=self.control_tokens)
        return encoding.assistant_masks.index(1)


def unroll(
    encoder: Encodes,
    prompts: Prompts,
    conversations: Sequence[Any],
    *,
    mask: str = "all",
    max_length: int | None = None,
) -> list[Unrolled]:
    """The rows of conversations, so that each trained token stands after what the model sees at inference.

    Args:
        encoder: what encodes.
        prompts: what makes prompts, in the same way.
        conversations: what to unroll.
        mask: the choice of mask that the encoder has.
        max_length: most tokens of a row; longer ones are not taken.
    """
    each = [heads(conversation, mask) for conversation in conversations]
    results = iter(encoder.encode_many([head.conversation for some in each for head in some]))
    return [_combined([(head, taken(next(results))) for head in some], prompts, mask, max_length) for some in each]


def _behind_prompt(sample: Sample, head: Head, prompts: Prompts, mask: str) -> Sample | Refusal:
    """The turn behind its prompt; the sample as it is, where that is so already."""
    start = int(sample.mask.argmax())
    if not sample.mask[start:].any():
        return sample
    try:
        before = prompts.before(head)
        if mask == "no-reasoning":
            start = prompts.start(head)
    except ChatTmplError as error:
        return Refusal("render", f"the prompt of messages[{head.turn_m}]: {error.message}", error.hint)
    if np.array_equal(before, sample.ids[:start]):
        return sample
    ids = np.concatenate([before, sample.ids[start:]])
    trained = np.concatenate([np.zeros(len(before), dtype=np.uint8), sample.mask[start:]])
    index = sample.message_index
    if index is not None:
        # Which message the prompt's tokens belong to is known only where it is the same text.
        index = np.concatenate([np.full(len(before), -1, dtype=np.int32), index[start:]])
    return replace(sample, ids=ids, mask=trained, message_index=index)


def _combined(
    encoded: list[tuple[Head, Sample | Refusal]], prompts: Prompts, mask: str, max_length: int | None
) -> Unrolled:
    samples: dict[int, Sample] = {}
    whole: Sample | None = None
    for head, result in encoded:
        if head.turn_m is not None and isinstance(result, Sample):
            result = _behind_prompt(result, head, prompts, mask)
        if isinstance(result, Refusal):
            # Half a conversation is no row: it is refused as a whole, for the first reason.
            return Unrolled(refused=[result])
        if head.turn_m is None:
            whole = result
        else:
            samples[head.turn_m] = result
    unrolled = Unrolled()
    if not samples:
        unrolled.samples = [] if whole is None else [whole]
        return unrolled
    ends = {turn: _end(sample) for turn, sample in samples.items()}
    waiting = [turn for turn in samples if ends[turn]]
    if not waiting:
        unrolled.refused.append(Refusal(NOTHING_TO_TRAIN, "no token of the row is trained"))
        return unrolled
    if whole is not None and _fits(whole, max_length) and all(_stands(samples[t], ends[t], whole) for t in waiting):
        unrolled.samples.append(_with(whole, [samples[turn] for turn in waiting], [ends[turn] for turn in waiting]))
        return unrolled
    for turn in sorted(waiting, reverse=True):
        host = samples[turn]
        if turn not in waiting or not _fits(host, max_length):
            continue
        guests = [other for other in waiting if other <= turn and _stands(samples[other], ends[other], host)]
        unrolled.samples.append(_with(host, [samples[other] for other in guests], [ends[other] for other in guests]))
        waiting = [other for other in waiting if other not in guests]
    unrolled.samples.reverse()
    unrolled.too_long = waiting
    return unrolled


def _fits(sample: Sample, max_length: int | None) -> bool:
    return max_length is None or len(sample) <= max_length


def _end(sample: Sample) -> int:
    """Behind the last trained token; 0 if there is none."""
    trained = np.flatnonzero(sample.mask)
    return int(trained[-1]) + 1 if len(trained) else 0


def _stands(guest: Sample, end: int, host: Sample) -> bool:
    """Whether another row begins with all that a row has up to the end of what it trains."""
    return end <= len(host) and bool(np.array_equal(guest.ids[:end], host.ids[:end]))


def _with(host: Sample, guests: Sequence[Sample], ends: Iterable[int]) -> Sample:
    mask: NDArray[np.uint8] = np.zeros(len(host), dtype=np.uint8)
    for guest, end in zip(guests, ends, strict=True):
        mask[:end] |= guest.mask[:end]
    return host.masked(mask)
