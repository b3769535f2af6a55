"""Keys by which what is known of a conversation is found again."""

from __future__ import annotations

from chattmpl.conversation.models import Conversation


class ConversationKeys:
    """The same name for equal conversations; each object is read once, and kept."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Conversation, str]] = {}
        self._heads: dict[tuple[int, int], Conversation] = {}

    def of(self, conversation: Conversation) -> str:
        """The name."""
        known = self._known.get(id(conversation))
        if known is None:
            known = self._known[id(conversation)] = conversation, repr(conversation.dump())
        return known[1]

    def head(self, conversation: Conversation, count: int) -> Conversation:
        """The conversation with its first messages only."""
        self.of(conversation)
        key = id(conversation), count
        if key not in self._heads:
            self._heads[key] = conversation.with_messages(conversation.messages[:count])
        return self._heads[key]
