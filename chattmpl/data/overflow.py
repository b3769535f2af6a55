"""Rows that are longer than ``max_length``: refused, shortened by whole turns or by tokens, or split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from chattmpl.conversation.models import Conversation, Message
from chattmpl.data.samples import NOTHING_TO_TRAIN, TOO_LONG, Encodes, Refusal, Sample, encode_one

Overflow = Literal["reject", "truncate-turns", "truncate-tokens", "split"]
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

_FEW = 8


@dataclass
class Fitted:
    """What became of one row that was too long.

    Attributes:
        samples: what can be trained on.
        conversations: for ``truncate-turns`` and ``split`` the part of the conversation that each sample is.
        refused: what gives no sample, and why.
        counts: what was lost: ``rows``, ``turns``, ``tokens``, ``trained`` tokens, generated ``spans_cut``; and how
            many rows were ``split``.
    """

    samples: list[Sample] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def fit(
    encoder: Encodes,
    conversation: Any,
    sample: Sample,
    max_length: int,
    policy: Overflow = "truncate-turns",
    *,
    mask: str = "all",
) -> Fitted:
    """Makes samples of at most ``max_length`` tokens of a row that is longer.

    ``reject`` makes none. ``truncate-turns`` takes the longest beginning of the conversation that ends with a turn of
    the assistant and fits, rendered anew, so that the sample is what that shorter conversation gives. ``split`` makes
    several: each begins with the system message and goes on at a message of the user; an exchange that does not fit
    by itself is shortened by turns. ``truncate-tokens`` cuts the tokens, and counts each generated span that it cuts.

    Args:
        encoder: what encoded the row.
        conversation: the row.
        sample: the row, encoded.
        max_length: most tokens of a sample.
        policy: what to do.
        mask: the choice of mask; with ``last`` only the part with the last turn can be trained on.
    """
    if policy == "reject":
        return Fitted(refused=[_too_long(len(sample), max_length)])
    if policy == "truncate-tokens":
        return _cut(sample, max_length)
    whole = Conversation.coerce(conversation)
    if policy == "split":
        fitted = _split(encoder, whole, max_length, mask)
    else:
        fitted = _shortened(encoder, whole, max_length, mask, len(sample))
    if fitted.samples:
        counts = fitted.counts
        counts["rows"] += 1
        counts["split"] += int(policy == "split")
        counts["trained"] += max(0, sample.trained - sum(kept.trained for kept in fitted.samples))
        counts["tokens"] += max(0, len(sample) - sum(map(len, fitted.samples)))
        counts["turns"] += max(0, _turns(whole.messages) - sum(_turns(c.messages) for c in fitted.conversations))
    return fitted


def _too_long(length: int, max_length: int) -> Refusal:
    return Refusal(TOO_LONG, f"the row has {length} tokens, more than {max_length}", "raise --max-length")


def _turns(messages: Sequence[Message]) -> int:
    return sum(message.role == "assistant" for message in messages)


def _cut(sample: Sample, max_length: int) -> Fitted:
    kept = sample.cut(max_length)
    if not kept.trained and sample.trained:
        problem = f"nothing of the first {max_length} of {len(sample)} tokens is trained"
        return Fitted(refused=[Refusal(NOTHING_TO_TRAIN, problem, "raise --max-length")])
    counts = Counter(rows=1, tokens=len(sample) - len(kept), trained=sample.trained - kept.trained)
    counts["spans_cut"] = int(bool(sample.mask[max_length - 1] and sample.mask[max_length]))
    return Fitted([kept], counts=counts)


def _shortened(encoder: Encodes, whole: Conversation, max_length: int, mask: str, length: int) -> Fitted:
    """The longest beginning that fits."""
    ends = _ends(whole.messages) if mask != "last" else []
    found = _longest(encoder, whole, ends, max_length)
    if found is None:
        return Fitted(refused=[_first(max_length) if len(ends) > 1 else _too_long(length, max_length)])
    return Fitted([found[1]], [whole.with_messages(whole.messages[: found[0]])])


def _first(max_length: int) -> Refusal:
    problem = f"not even the first trained turn fits into {max_length} tokens"
    return Refusal(TOO_LONG, problem, "raise --max-length")


def _ends(messages: Sequence[Message]) -> list[int]:
    """Where a shorter conversation may end: behind each turn of the assistant."""
    return [index + 1 for index, message in enumerate(messages) if message.role == "assistant"]


def _longest(encoder: Encodes, whole: Conversation, ends: Sequence[int], max_length: int) -> tuple[int, Sample] | None:
    """The last of the ends at which the conversation fits and has something to train.

    Of many ends it is found by halving, which takes a shorter conversation to have fewer tokens; of few, one by one.
    """
    found: tuple[int, Sample] | None = None
    low, high = 0, len(ends)
    while low < high:
        middle = high - 1 if len(ends) <= _FEW else (low + high) // 2
        sample = encode_one(encoder, whole.with_messages(whole.messages[: ends[middle]]))
        # What cannot be encoded is as good as too long.
        if isinstance(sample, Sample) and len(sample) <= max_length:
            found, low = (ends[middle], sample), middle + 1
        else:
            high = middle
    return found if found is not None and found[1].trained else None


def _split(encoder: Encodes, whole: Conversation, max_length: int, mask: str) -> Fitted:
    """Several conversations, each with the system message and as many exchanges as fit."""
    messages = whole.messages
    lead = next((index for index, message in enumerate(messages) if message.role not in ("system", "developer")), 0)
    starts = [index for index in range(lead, len(messages)) if messages[index].role == "user"]
    starts = [lead, *(index for index in starts if index > lead)]
    bounds = [*starts, len(messages)]
    fitted = Fitted()
    at = 0
    while at < len(starts):
        part = whole.with_messages([*messages[:lead], *messages[bounds[at] :]])
        ends = [lead + bound - bounds[at] for bound in bounds[at + 1 :]]
        found = _longest(encoder, part, ends, max_length)
        step = 1 if found is None else ends.index(found[0]) + 1
        last = at + step == len(starts)
        if found is None:
            exchange = part.with_messages(part.messages[: ends[0]])
            found = _longest(encoder, exchange, _ends(exchange.messages) if mask != "last" else [], max_length)
        if found is not None and (last or mask != "last"):
            fitted.samples.append(found[1])
            fitted.conversations.append(part.with_messages(part.messages[: found[0]]))
        elif found is None and (last or mask != "last"):
            fitted.refused.append(_exchange(bounds[at], bounds[at + 1], max_length))
        at += step
    return fitted


def _exchange(start: int, end: int, max_length: int) -> Refusal:
    where = f"messages[{start}]" if end == start + 1 else f"messages[{start}] to messages[{end - 1}]"
    return Refusal(TOO_LONG, f"nothing to train in {where} fits into {max_length} tokens", "raise --max-length")
