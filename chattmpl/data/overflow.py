"""Policies for rows longer than ``max_length``: reject, drop turns, cut tokens, or split."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.data.rows import Rejection, RejectionReason, Row, RowEncoder
from chattmpl.options import Overflow

_FEW = 8
"""Number of candidate lengths that are tried one by one instead of by bisection."""


@dataclass
class Fitted:
    """The result for one row that was too long.

    Attributes:
        rows: rows to train on.
        conversations: for ``truncate-turns`` and ``split``, the part of the conversation in each row.
        rejected: parts that give no row, and why.
        counts: what was lost: ``rows``, ``turns``, ``tokens``, ``trained`` tokens, generated ``spans_cut``; and the
            number of rows that were ``split``.
    """

    rows: list[Row] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def fit(
    encoder: RowEncoder,
    conversation: Any,
    rows: Sequence[Row],
    max_length: int,
    policy: Overflow = "truncate-turns",
    *,
    mask: str = "all",
) -> Fitted:
    """Make rows of at most ``max_length`` tokens from the rows of a conversation, some of which are longer.

    ``reject`` makes none. ``truncate-turns`` renders the longest beginning of the conversation that ends with an
    assistant turn and fits, so the row is exactly what that shorter conversation gives. ``split`` makes several rows:
    each begins with the system message and continues at a user message; an exchange that does not fit by itself is
    shortened by turns. ``truncate-tokens`` cuts the tokens, and counts the generated spans that it cuts.

    Args:
        encoder: the encoder that encoded the rows.
        conversation: the conversation of the rows.
        rows: the encoded rows.
        max_length: maximum number of tokens of a row.
        policy: what to do.
        mask: the mask choice of the encoder; with ``last``, only the part with the last turn can be trained on.
    """
    longest = max(map(len, rows))
    if policy == "reject":
        return Fitted(rejected=[_too_long(longest, max_length)])
    if policy == "truncate-tokens":
        return _cut_all(rows, max_length)
    whole = Conversation.coerce(conversation)
    if policy == "split":
        fitted = _split(encoder, whole, max_length, mask)
    else:
        fitted = _shorten(encoder, whole, max_length, mask, longest)
    if fitted.rows:
        counts = fitted.counts
        counts["rows"] += 1
        counts["split"] += int(policy == "split")
        counts["trained"] += max(0, sum(row.trained for row in rows) - sum(kept.trained for kept in fitted.rows))
        counts["tokens"] += max(0, sum(map(len, rows)) - sum(map(len, fitted.rows)))
        counts["turns"] += max(0, _turns(whole.messages) - sum(_turns(c.messages) for c in fitted.conversations))
    return fitted


def reject_too_long(message: str) -> Rejection:
    """Return the rejection of a row that is too long."""
    return Rejection(RejectionReason.TOO_LONG, message, hint="raise --max-length")


def _too_long(length: int, max_length: int) -> Rejection:
    return reject_too_long(f"the row has {length} tokens, more than {max_length}")


def _turns(messages: Sequence[Message]) -> int:
    return sum(message.role == "assistant" for message in messages)


def _cut_all(rows: Sequence[Row], max_length: int) -> Fitted:
    fitted = Fitted()
    for part in (_cut(row, max_length) if len(row) > max_length else Fitted([row]) for row in rows):
        fitted.rows += part.rows
        fitted.rejected += part.rejected
        fitted.counts += part.counts
    return fitted


def _cut(row: Row, max_length: int) -> Fitted:
    kept = row.cut(max_length)
    if not kept.trained and row.trained:
        message = f"none of the first {max_length} of {len(row)} tokens is trained"
        return Fitted(rejected=[Rejection(RejectionReason.NOTHING_TO_TRAIN, message, hint="raise --max-length")])
    counts = Counter(rows=1, tokens=len(row) - len(kept), trained=row.trained - kept.trained)
    counts["spans_cut"] = int(bool(row.mask[max_length - 1] and row.mask[max_length]))
    return Fitted([kept], counts=counts)


def _shorten(encoder: RowEncoder, whole: Conversation, max_length: int, mask: str, length: int) -> Fitted:
    """Keep the longest beginning that fits."""
    ends = _ends(whole.messages) if mask != "last" else []
    found = _longest(encoder, whole, ends, max_length)
    if found is None:
        first = reject_too_long(f"not even the first trained turn fits into {max_length} tokens")
        return Fitted(rejected=[first if len(ends) > 1 else _too_long(length, max_length)])
    return Fitted(found[1], [whole.with_messages(whole.messages[: found[0]])])


def _ends(messages: Sequence[Message]) -> list[int]:
    """Return the possible ends of a shorter conversation: after each assistant turn."""
    return [index + 1 for index, message in enumerate(messages) if message.role == "assistant"]


def _longest(
    encoder: RowEncoder, whole: Conversation, ends: Sequence[int], max_length: int
) -> tuple[int, list[Row]] | None:
    """Return the last of the ends at which the conversation fits and has trained tokens, with its rows.

    Many ends are bisected, which assumes that a shorter conversation has fewer tokens; few are tried one by one.
    """
    found: tuple[int, list[Row]] | None = None
    low, high = 0, len(ends)
    while low < high:
        middle = high - 1 if len(ends) <= _FEW else (low + high) // 2
        rows = encoder.encode_rows([whole.with_messages(whole.messages[: ends[middle]])])[0]
        # A conversation that cannot be encoded counts as too long.
        if not isinstance(rows, Rejection) and all(len(row) <= max_length for row in rows):
            found, low = (ends[middle], rows), middle + 1
        else:
            high = middle
    return found if found is not None and any(row.trained for row in found[1]) else None


def _split(encoder: RowEncoder, whole: Conversation, max_length: int, mask: str) -> Fitted:
    """Split into several conversations, each with the system message and the exchanges that fit."""
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
            fitted.rows += found[1]
            fitted.conversations.append(part.with_messages(part.messages[: found[0]]))
        elif found is None and (last or mask != "last"):
            start, end = bounds[at], bounds[at + 1]
            where = f"messages[{start}]" if end == start + 1 else f"messages[{start}] to messages[{end - 1}]"
            fitted.rejected.append(reject_too_long(f"no trained turn of {where} fits into {max_length} tokens"))
        at += step
    return fitted
