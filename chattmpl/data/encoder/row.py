"""What becomes of one conversation: a row, or a rejection that says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.validation_errors import FieldError, dotted
from chattmpl.errors import (
    BudgetError,
    ChatTmplError,
    ConversationError,
    EncodeError,
    RenderError,
)

_REASONS: tuple[tuple[type[ChatTmplError], str], ...] = (
    (BudgetError, "budget"),
    (ConversationError, "conversation"),
    (RenderError, "render"),
    (EncodeError, "encode"),
)


@dataclass(slots=True, eq=False)
class Row:
    """An encoded conversation.

    Attributes:
        input_ids: the tokens, an array of int32.
        mask: 1 for each token that is trained, else 0, an array of uint8.
        straddles: the number of edges of generated spans that fall inside a token.
        escaped: the number of control tokens in the texts of messages that were encoded as ordinary text.
        text: the rendered text; only where the encoder was asked to keep it.
        generated: character ranges that the model samples; only where the encoder was asked to keep them.
        message_index: for each token the index of the message in whose turn it starts, -1 outside of turns, an array
            of int32; only where the encoder was asked to keep it.
    """

    input_ids: Any
    mask: Any
    straddles: int = 0
    escaped: int = 0
    text: str | None = None
    generated: tuple[tuple[int, int], ...] | None = None
    message_index: Any = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def trained(self) -> int:
        """The number of tokens that are trained."""
        return int(self.mask.sum())

    def labels(self, ignore_index: int = -100) -> Any:
        """The ids where they are trained, else ``ignore_index``, an array of int32."""
        labels = self.input_ids.copy()
        labels[self.mask == 0] = ignore_index
        return labels


@dataclass(frozen=True, slots=True)
class Rejected:
    """A conversation that cannot be encoded.

    Attributes:
        reason: ``conversation`` (it is none, or a field is wrong), ``render`` (the template refuses it), ``budget``
            (the template ran too long), ``encode`` (the text cannot be encoded) or ``error`` (anything else).
        message: what is wrong, for people.
        place: the field that is wrong, as in ``messages[1].content``, or the place in the template that refused it.
        hint: the way out, where one is known.
    """

    reason: str
    message: str
    place: str | None = None
    hint: str | None = None

    @classmethod
    def because(cls, error: ChatTmplError) -> Rejected:
        """The rejection that an error means."""
        reason = next((name for kind, name in _REASONS if isinstance(error, kind)), "error")
        place = str(error.place) if error.place is not None else None
        if isinstance(error, FieldError) and error.path:
            place = dotted(error.path)
        return cls(reason, error.message, place, error.hint)

    def to_dict(self) -> dict[str, Any]:
        """The rejection as JSON, without what is not known."""
        values = {"reason": self.reason, "message": self.message, "place": self.place, "hint": self.hint}
        return {name: value for name, value in values.items() if value is not None}
