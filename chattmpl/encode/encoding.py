"""The result of encoding: ids, mask and offsets of one rendering, which cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Straddle:
    """A token across an edge of a generated span.

    Attributes:
        token_t: index of the token in the encoding.
        start_c, end_c: the characters that it covers, half-open.
        edge_c: the edge, a character offset between them.
        side: whether generated text starts or ends at the edge.
        text: the characters that it covers.
        message_m: the turn that is generated there; None where the template tells of none.
    """

    token_t: int
    start_c: int
    end_c: int
    edge_c: int
    side: Literal["start", "end"]
    text: str
    message_m: int | None


@dataclass(frozen=True, slots=True)
class Escape:
    """A control token in a text that is not the template's own, encoded as ordinary text.

    Attributes:
        start, end: its characters in the rendering, half-open.
        text: the control token.
        message: index of the message that it stood in, None for tools, documents and kwargs.
        field: the field that it stood in.
    """

    start: int
    end: int
    text: str
    message: int | None
    field: str | None


@dataclass(frozen=True, slots=True)
class Truncation:
    """What ``max_length`` cut away: how many tokens, and how many of them were trained."""

    tokens: int = 0
    trained: int = 0


@dataclass(frozen=True)
class Encoding:
    """One rendering as tokens. All lists have one entry a token, padding included.

    Attributes:
        text: the text that was encoded.
        input_ids: the tokens.
        assistant_masks: 1 where the token is trained, else 0.
        attention_mask: 0 for padding, else 1.
        message_index: index of the message in whose turn the token starts; None outside turns and for padding.
        starts_c, ends_c: the characters that each token covers, half-open, as two lists; see ``offsets``.
        straddles: the tokens across an edge of a generated span.
        escaped: the control tokens that were encoded as ordinary text.
        truncated: what was cut away.

    Raises:
        ValueError: if the lists have different lengths.
    """

    text: str
    input_ids: list[int]
    assistant_masks: list[int]
    attention_mask: list[int]
    message_index: list[int | None]
    starts_c: list[int] = field(repr=False)
    ends_c: list[int] = field(repr=False)
    straddles: tuple[Straddle, ...] = ()
    escaped: tuple[Escape, ...] = ()
    truncated: Truncation = Truncation()

    def __post_init__(self) -> None:
        names = ("input_ids", "assistant_masks", "attention_mask", "message_index", "starts_c", "ends_c")
        lengths = {name: len(getattr(self, name)) for name in names}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"one entry a token is needed in every list, not {lengths}")

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """For each token the characters of ``text`` that it covers, half-open; ``(0, 0)`` for padding.

        A token with a part of a character covers that character. White space that the tokenizer drops is in no range.
        """
        return list(zip(self.starts_c, self.ends_c, strict=True))

    @property
    def tokens(self) -> list[str]:
        """For each token the characters that it covers, cut from the text."""
        return [self.text[start:end] for start, end in self.offsets]

    def labels(self, ignore_index: int = -100) -> list[int]:
        """The ids where they are trained, else ``ignore_index``: what a trainer calls ``labels``, unshifted."""
        pairs = zip(self.input_ids, self.assistant_masks, strict=True)
        return [token if trained else ignore_index for token, trained in pairs]

    def to_dict(self) -> dict[str, Any]:
        """The encoding as plain JSON types, keys named as the ecosystem names them."""
        return {
            "input_ids": self.input_ids,
            "assistant_masks": self.assistant_masks,
            "attention_mask": self.attention_mask,
            "offsets": [list(pair) for pair in self.offsets],
            "message_index": self.message_index,
            "straddles": [asdict(straddle) for straddle in self.straddles],
            "escaped": [asdict(escape) for escape in self.escaped],
            "truncated": asdict(self.truncated),
        }

    def cut(self, max_length: int, side: Literal["right", "left"]) -> Encoding:
        """At most ``max_length`` tokens, the others cut away on the right or on the left and counted."""
        surplus = len(self) - max_length
        if surplus <= 0:
            return self
        first = surplus if side == "left" else 0
        kept = self._each(lambda values, _: values[first : first + max_length], moved_t=-first)
        lost = Truncation(surplus, sum(self.assistant_masks) - sum(kept.assistant_masks))
        return replace(kept, truncated=lost)

    def pad(self, length: int, pad_id: int, side: Literal["right", "left"]) -> Encoding:
        """At least ``length`` tokens, made up with untrained ``pad_id`` on the right or on the left."""
        missing = length - len(self)
        if missing <= 0:
            return self

        def padded(values: list[_Item], filler: _Item) -> list[_Item]:
            return [filler] * missing + values if side == "left" else values + [filler] * missing

        return self._each(padded, moved_t=missing if side == "left" else 0, pad_id=pad_id)

    def _each(self, change: Callable[[list[Any], Any], list[Any]], *, moved_t: int, pad_id: int = 0) -> Encoding:
        """The same change to every list, with what fills it up, and the token indices moved along."""
        fillers = {"input_ids": pad_id, "assistant_masks": 0, "attention_mask": 0, "message_index": None}
        lists: dict[str, Any] = {
            name: change(getattr(self, name), fillers.get(name, 0)) for name in (*fillers, "starts_c", "ends_c")
        }
        moved = [_moved(straddle, moved_t) for straddle in self.straddles]
        inside = tuple(straddle for straddle in moved if 0 <= straddle.token_t < len(lists["input_ids"]))
        return replace(self, **lists, straddles=inside)


def _moved(straddle: Straddle, by_t: int) -> Straddle:
    return replace(straddle, token_t=straddle.token_t + by_t) if by_t else straddle
