"""Counting rows in groups: one for each source and reasoning mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.encoder import Encoder
from chattmpl.data.survey import Mode, Taken, messages_of, mode_shown
from chattmpl.data.survey.reasoning_mode import assistants

_FLAGS = ("train", "weight")


@dataclass
class Group:
    """Sums over some rows.

    Attributes:
        examples: how many rows.
        tokens: how many tokens they have.
        responses: how many of these the model samples.
        supervised: how many are trained.
        turns, assistant_turns: how many messages they have, and how many of these are the assistant's.
        lengths: how many rows there are of each length.
    """

    examples: int = 0
    tokens: int = 0
    responses: int = 0
    supervised: int = 0
    turns: int = 0
    assistant_turns: int = 0
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, other: Group) -> None:
        """Adds the rows of another group."""
        self.examples += other.examples
        self.tokens += other.tokens
        self.responses += other.responses
        self.supervised += other.supervised
        self.turns += other.turns
        self.assistant_turns += other.assistant_turns
        self.lengths.update(other.lengths)


@dataclass
class Counted:
    """What was counted.

    Attributes:
        groups: by source and mode.
        rejected: rows that cannot be encoded, by source and reason.
    """

    groups: dict[tuple[str, Mode], Group] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)


class Counting:
    """The looker that counts."""

    keep = ()

    def __init__(self, responses: Encoder | None = None) -> None:
        self._responses = responses

    def begin(self) -> Counted:
        """Nothing."""
        return Counted()

    def join(self, seen: Counted, more: Counted) -> None:
        """Adds counts."""
        for key, group in more.groups.items():
            seen.groups.setdefault(key, Group()).add(group)
        seen.rejected.update(more.rejected)

    def look(self, seen: Counted, rows: Sequence[Taken], encoder: Encoder) -> None:
        """Counts some rows."""
        responses = self._sampled(rows, encoder)
        for number, row in enumerate(rows):
            if row.row is None:
                reason = row.refusal.reason if row.refusal else "error"
                seen.rejected[row.source, reason] += 1
                continue
            messages = messages_of(row.conversation)
            group = seen.groups.setdefault((row.source, mode_shown(messages)), Group())
            length, supervised = len(row.row), row.row.trained
            group.add(
                Group(
                    1,
                    length,
                    responses.get(number, supervised),
                    supervised,
                    len(messages),
                    len(assistants(messages)),
                    Counter({length: 1}),
                )
            )

    def _sampled(self, rows: Sequence[Taken], encoder: Encoder) -> dict[int, int]:
        """The tokens that the model samples, by index, for rows of which not all those are trained."""
        other = self._responses
        wanted = [
            number for number, row in enumerate(rows) if row.row is not None and (other or _flagged(row.conversation))
        ]
        if not wanted:
            return {}
        found = (other or encoder).encode_many([_without_flags(rows[number].conversation) for number in wanted])
        return {number: row.trained for number, row in zip(wanted, found, strict=True) if hasattr(row, "trained")}


def _flagged(conversation: Any) -> bool:
    return any(message.get(name) is not None for message in messages_of(conversation) for name in _FLAGS)


def _without_flags(conversation: Any) -> Any:
    messages = [{k: v for k, v in message.items() if k not in _FLAGS} for message in messages_of(conversation)]
    if isinstance(conversation, Conversation):
        return Conversation.coerce({**conversation.dump(), "messages": messages})
    return {**conversation, "messages": messages} if isinstance(conversation, dict) else messages
