"""Samples: encoded rows on their way to a file, with the place that they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Encodes(Protocol):
    """What turns conversations into rows; `chattmpl.data.encoder.Encoder` is one."""

    def encode_many(self, conversations: Sequence[Any]) -> Sequence[Any]:
        """A row or a rejection for each conversation, in their order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A row to train on.

    Attributes:
        ids: the tokens, int32.
        mask: for each token 1 where it is trained, else 0, uint8.
        message_index: for each token the message in whose turn it starts, −1 outside of turns, int32; None if nobody
            asked for it.
        straddles, escaped: how many edges of generated spans fall inside a token, and how many control tokens in
            messages were encoded as ordinary text.
    """

    ids: NDArray[np.int32]
    mask: NDArray[np.uint8]
    message_index: NDArray[np.int32] | None = None
    straddles: int = 0
    escaped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return int(self.mask.sum())

    def cut(self, length: int) -> Sample:
        """The first tokens."""
        index = None if self.message_index is None else self.message_index[:length]
        return replace(self, ids=self.ids[:length], mask=self.mask[:length], message_index=index)

    def masked(self, mask: NDArray[np.uint8]) -> Sample:
        """The same tokens with another mask."""
        return replace(self, mask=mask)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row, or a part of it, gives no sample.

    Attributes:
        reason: a short code, to count by.
        message: what is wrong, for a person.
        hint: the way out.
        place: the field that is wrong, where one is.
    """

    reason: str
    message: str
    hint: str | None = None
    place: str | None = None


NOTHING_TO_TRAIN = "nothing-to-train"
TOO_LONG = "too-long"


def taken(result: Any) -> Sample | Refusal:
    """What an encoder answered, as one of ours."""
    if hasattr(result, "input_ids"):
        return Sample(result.input_ids, result.mask, result.message_index, result.straddles, result.escaped)
    return Refusal(result.reason, result.message, result.hint, result.place)


def encode_one(encoder: Encodes, conversation: Any) -> Sample | Refusal:
    """One conversation, encoded."""
    return taken(encoder.encode_many([conversation])[0])
