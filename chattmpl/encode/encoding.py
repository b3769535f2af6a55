"""The result of encoding one rendering: ids, mask and offsets in one object, so that they stay aligned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from chattmpl.options import Side

_Item = TypeVar("_Item")

IGNORE_INDEX = -100
"""Label of a token that is not trained, as in PyTorch's ``cross_entropy``."""


@dataclass(frozen=True, slots=True)
class Straddle:
    """A token across an edge of a generated span.

    Attributes:
        token_t: index of the token in the encoding.
        start_c, end_c: the characters that it covers, half-open.
        edge_c: the edge, a character offset between them.
        side: whether generated text starts or ends at the edge.
        text: the characters that it covers.
        message_m: the turn that is generated there; None if the template does not show the turn.
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
    """A control token in text that the template did not write, encoded as ordinary text.

    Attributes:
        start, end: its characters in the rendering, half-open.
        text: the control token.
        message: index of the message that contained it; None for tools, documents and kwargs.
        field: the field that contained it.
    """

    start: int
    end: int
    text: str
    message: int | None
    field: str | None


@dataclass(frozen=True, slots=True)
class Truncation:
    """The tokens that ``max_length`` cut off: their number, and the number of trained ones."""

    tokens: int = 0
    trained: int = 0


@dataclass(frozen=True)
class Encoding:
    """One rendering as tokens. All lists have one entry per token, including padding.

    Attributes:
        text: the encoded text.
        input_ids: the tokens.
        assistant_masks: 1 where the token is trained, else 0.
        attention_mask: 0 for padding, else 1.
        message_index: index of the message in whose turn the token starts; None outside of turns and for padding.
        starts_c, ends_c: the characters that each token covers, half-open, as two lists; see ``offsets``.
        straddles: the tokens across an edge of a generated span.
        escaped: the control tokens that were encoded as ordinary text.
        unknown: the characters, half-open, that are not in the vocabulary: they have the unknown token, or none.
        truncated: the tokens that were cut off.

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
    unknown: tuple[tuple[int, int], ...] = ()
    truncated: Truncation = Truncation()

    def __post_init__(self) -> None:
        names = ("input_ids", "assistant_masks", "attention_mask", "message_index", "starts_c", "ends_c")
        lengths = {name: len(getattr(self, name)) for name in names}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"all lists must have one entry per token, not {lengths}")

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """The half-open range of characters of ``text`` that each token covers; ``(0, 0)`` for padding.

        A token with a part of a character covers that character. White space that the tokenizer drops is in no range.
        """
        return list(zip(self.starts_c, self.ends_c, strict=True))

    @property
    def tokens(self) -> list[str]:
        """The text that each token covers."""
        return [self.text[start:end] for start, end in self.offsets]

    def labels(self, ignore_index: int = IGNORE_INDEX) -> list[int]:
        """Return the ids of trained tokens, and ``ignore_index`` for all others; not shifted."""
        pairs = zip(self.input_ids, self.assistant_masks, strict=True)
        return [token if trained else ignore_index for token, trained in pairs]

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain JSON types, with the key names that transformers uses."""
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

    def cut(self, max_length: int, side: Side) -> Encoding:
        """Return the encoding cut to ``max_length`` tokens at a side, with a count of the lost tokens."""
        surplus = len(self) - max_length
        if surplus <= 0:
            return self
        first = surplus if side == "left" else 0
        kept = self._each(lambda values, _: values[first : first + max_length], shift_t=-first)
        lost = Truncation(surplus, sum(self.assistant_masks) - sum(kept.assistant_masks))
        return replace(kept, truncated=lost)

    def pad(self, length: int, pad_id: int, side: Side) -> Encoding:
        """Return the encoding padded to ``length`` tokens with untrained ``pad_id`` at a side."""
        missing = length - len(self)
        if missing <= 0:
            return self

        def padded(values: list[_Item], filler: _Item) -> list[_Item]:
            return [filler] * missing + values if side == "left" else values + [filler] * missing

        return self._each(padded, shift_t=missing if side == "left" else 0, pad_id=pad_id)

    def _each(self, change: Callable[[list[Any], Any], list[Any]], *, shift_t: int, pad_id: int = 0) -> Encoding:
        """Apply a change to every list, given its padding value, and shift the token indices."""
        fillers = {"input_ids": pad_id, "assistant_masks": 0, "attention_mask": 0, "message_index": None}
        lists: dict[str, Any] = {
            name: change(getattr(self, name), fillers.get(name, 0)) for name in (*fillers, "starts_c", "ends_c")
        }
        shifted = [_shifted(straddle, shift_t) for straddle in self.straddles]
        inside = tuple(straddle for straddle in shifted if 0 <= straddle.token_t < len(lists["input_ids"]))
        return replace(self, **lists, straddles=inside)


def _shifted(straddle: Straddle, by_t: int) -> Straddle:
    return replace(straddle, token_t=straddle.token_t + by_t) if by_t else straddle
