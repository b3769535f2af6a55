"""Tokenizers as encoding needs them, whatever they are: one interface, and the loader that finds the right one."""

from __future__ import annotations

import abc
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

from chattmpl.encode.offsets import Ranges

_LOOKS_LIKE_CONTROL = re.compile(r"<\|.*\|>|<｜.*｜>", re.DOTALL)
_PADDING = ("<|pad|>", "<pad>", "[PAD]", "<｜▁pad▁｜>", "<|finetune_right_pad_id|>", "<PAD>", "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class Added:
    """An added token: what it spells, whether it is special, and whether it swallows the white space around it."""

    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False

    @property
    def strips(self) -> bool:
        """Whether it swallows the white space on one side or the other."""
        return self.lstrip or self.rstrip

    @property
    def blank(self) -> bool:
        """Whether it spells only white space: such a token is ordinary text that was given an id."""
        return not self.content.strip("▁ \t\r\n") or self.content.isspace()

    @property
    def control(self) -> bool:
        """Whether it is a control token wherever it stands: special, or written between ``<|`` and ``|>``."""
        return not self.blank and (self.special or _LOOKS_LIKE_CONTROL.fullmatch(self.content) is not None)


class Hit(NamedTuple):
    """An added token found in a text: ``[start, end)`` are the characters of its content, no white space around."""

    token_t: int
    token_id: int
    start: int
    end: int


class TextTokenizer(abc.ABC):
    """A tokenizer of plain text, which adds no tokens of its own and truncates nothing."""

    def __init__(self) -> None:
        self.added: dict[int, Added] = {}
        self.candidates: frozenset[int] = frozenset()
        self.always_control: frozenset[int] = frozenset()
        self._written_by: OrderedDict[str, frozenset[int]] = OrderedDict()

    def know(self, added: dict[int, Added]) -> None:
        """Takes the added tokens in, and forgets what was concluded from earlier ones."""
        self.added = added
        self.candidates = frozenset(index for index, token in added.items() if not token.blank)
        self.always_control = frozenset(index for index, token in added.items() if token.control)
        self._written_by.clear()

    def control_ids(self, source: str) -> frozenset[int]:
        """The added tokens that are control tokens in a template: the special ones, and those that its source names."""
        known = self._written_by.get(source)
        if known is None:
            others = self.candidates - self.always_control
            named = {index for index in others if self.added[index].content in source}
            known = self._written_by[source] = self.always_control | named
            while len(self._written_by) > 32:
                self._written_by.popitem(last=False)
        return known

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""

    @abc.abstractmethod
    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """The ranges of the tokens that ``encode`` gave for a text whose UTF-8 bytes are ``data``.

        Raises:
            EncodeError: if they cannot be told.
        """

    @abc.abstractmethod
    def recode(
        self,
        text: str,
        data: bytes,
        ids: Sequence[int],
        keep: Sequence[Hit],
        escape: Sequence[Hit],
        cuts: Sequence[int],
    ) -> tuple[list[int], Ranges]:
        """The tokens of a text with the control tokens ``keep``, without ``escape``, and with none across a cut.

        Args:
            text: the text.
            data: its UTF-8 bytes.
            ids: what ``encode`` gave for it.
            keep: the control tokens to honour, in order.
            escape: the control tokens to encode as ordinary text, in order.
            cuts: character offsets, in order.

        Raises:
            EncodeError: if the tokenizer cannot be brought to it.
        """

    def pad_id(self, original: object) -> int | None:
        """The padding token that the caller's tokenizer names, else the one that its name gives away."""
        named = getattr(original, "pad_token_id", None)
        if isinstance(named, int):
            return named
        by_content = {token.content: index for index, token in self.added.items()}
        return next((by_content[name] for name in _PADDING if name in by_content), None)


def find_hits(tokenizer: TextTokenizer, text: str, ids: Sequence[int], ranges: Ranges) -> list[Hit]:
    """The added tokens among the tokens of a text, those of white space left out.

    A token that swallowed white space around it (``lstrip``, ``rstrip``) is cut down to its content in ``ranges``: the
    white space has no token.
    """
    starts, ends = ranges
    hits = []
    for index in _where(tokenizer.candidates, ids):
        token = tokenizer.added[ids[index]]
        if token.strips:
            found = text.find(token.content, starts[index], ends[index])
            if found >= 0:
                starts[index], ends[index] = found, found + len(token.content)
        hits.append(Hit(index, ids[index], starts[index], ends[index]))
    return hits


def _where(wanted: frozenset[int], ids: Sequence[int]) -> Iterable[int]:
    return compress(range(len(ids)), map(wanted.__contains__, ids))
