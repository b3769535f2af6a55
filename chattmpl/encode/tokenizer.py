"""The tokenizer interface that encoding uses, and the added tokens in a text."""

import abc
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

from chattmpl.encode.offsets import Ranges
from chattmpl.errors import EncodeError
from chattmpl.template.model_directory import ModelDirectory
from chattmpl.template.special_tokens import HTML_TAG, SpecialTokens

_DELIMITED = re.compile(r"([!-/:-@\[-`{-~]|｜).*\w.*([!-/:-@\[-`{-~]|｜)", re.DOTALL)
"""A name between punctuation, as `<unused0>`, `[multimodal]` and `|||EMAIL|||`."""

_PADDING = ("<|pad|>", "<pad>", "[PAD]", "<｜▁pad▁｜>", "<|finetune_right_pad_id|>", "<PAD>", "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class AddedTokenInfo:
    """An added token: its content, whether it is special, and whether it strips the white space around it."""

    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False

    @property
    def strips(self) -> bool:
        """True if it strips white space on either side."""
        return self.lstrip or self.rstrip

    @property
    def blank(self) -> bool:
        """True if it is only white space, and so ordinary text with an id."""
        return not self.content.strip("▁ \t\r\n") or self.content.isspace()

    @property
    def control(self) -> bool:
        """True if it is a control token in every template: special, or between delimiters as ``<mask>``.

        White space, words, symbols and tags of HTML are ordinary text: a model that has such a token writes it wherever
        that text occurs, and would otherwise be trained on tokens that it does not sample.
        """
        if self.blank or self.special:
            return self.special and not self.blank
        content = self.content.strip("▁ \t\r\n")
        return _DELIMITED.fullmatch(content) is not None and HTML_TAG.fullmatch(content) is None


class AddedTokenMatch(NamedTuple):
    """An added token in a text: ``[start, end)`` are the characters of its content, without stripped white space."""

    token_t: int
    token_id: int
    start: int
    end: int


class Reencoding(NamedTuple):
    """A request to encode a text again with some added tokens as ordinary text, and with no token across a cut.

    Attributes:
        data: its UTF-8 bytes.
        ids: the result of ``encode`` for it.
        keep: the added tokens to keep, in order.
        escape: the added tokens to encode as ordinary text, in order.
        cuts: character offsets, in order.
    """

    text: str
    data: bytes
    ids: Sequence[int]
    keep: Sequence[AddedTokenMatch]
    escape: Sequence[AddedTokenMatch]
    cuts: Sequence[int]

    @property
    def matches(self) -> list[AddedTokenMatch]:
        """All added tokens, in order."""
        return sorted((*self.keep, *self.escape), key=lambda match: match.start)


class TextTokenizer(abc.ABC):
    """A tokenizer of plain text that neither adds tokens nor truncates.

    Attributes:
        directory: the model directory that it comes from, if it comes from one.
        added: its added tokens by id.
        unknown_id: the token for text that is not in the vocabulary; None if there is none.
        nonblank_ids: the ids of added tokens that are more than white space.
    """

    def __init__(self) -> None:
        self.directory: ModelDirectory | None = None
        self.special_tokens: SpecialTokens = {}
        self.added: dict[int, AddedTokenInfo] = {}
        self.unknown_id: int | None = None
        self.nonblank_ids: frozenset[int] = frozenset()
        self._always_control: frozenset[int] = frozenset()
        self._written_by: OrderedDict[str, frozenset[int]] = OrderedDict()

    def set_added(self, added: dict[int, AddedTokenInfo]) -> None:
        """Replace the added tokens, and clear the caches that depend on them."""
        self.added = added
        self.nonblank_ids = frozenset(index for index, token in added.items() if not token.blank)
        self._always_control = frozenset(index for index, token in added.items() if token.control)
        self._written_by.clear()

    def control_ids(self, source: str) -> frozenset[int]:
        """Return the ids of control tokens in a template: the special ones, and those that its source contains."""
        known = self._written_by.get(source)
        if known is None:
            others = self.nonblank_ids - self._always_control
            named = {index for index in others if self.added[index].content in source}
            known = self._written_by[source] = self._always_control | named
            while len(self._written_by) > 32:
                self._written_by.popitem(last=False)
        return known

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""

    def is_unknown(self, token_id: int, text: str) -> bool:
        """Return whether a token is the unknown one, and stands for another text than its own."""
        return token_id == self.unknown_id and (
            token_id not in self.added or text.strip() != self.added[token_id].content
        )

    def unknown_ranges(self, text: str, ids: Sequence[int], ranges: Ranges) -> Iterator[tuple[int, int]]:
        """Yield the characters, half-open, that are not in the vocabulary."""
        if self.unknown_id in ids:
            for token_id, start, end in zip(ids, *ranges, strict=True):
                if self.is_unknown(token_id, text[start:end]):
                    yield start, end

    def has_token(self, content: str) -> bool:
        """Return whether a text is one token, and not the unknown one."""
        ids = self.encode(content)
        return len(ids) == 1 and not self.is_unknown(ids[0], content)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of several texts."""
        return [self.encode(text) for text in texts]

    @abc.abstractmethod
    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """Return the ranges of the tokens that ``encode`` gave for a text with the UTF-8 bytes ``data``.

        Raises:
            EncodeError: the ranges cannot be determined.
        """

    def reencode(self, request: Reencoding) -> tuple[list[int], Ranges]:
        """Encode a text again; return the tokens and their ranges.

        Raises:
            EncodeError: the tokenizer does not support it.
        """
        ids, ranges = self._reencode(request)
        # Text that is not in the vocabulary may have become the unknown token.
        control = self.nonblank_ids - {self.unknown_id}
        kept = [match.token_id for match in request.keep if match.token_id in control]
        if [token_id for token_id in ids if token_id in control] != kept:
            raise EncodeError(
                "a control token of a message could not be encoded as ordinary text",
                hint="control_tokens='error' refuses each such conversation",
            )
        return ids, ranges

    @abc.abstractmethod
    def _reencode(self, request: Reencoding) -> tuple[list[int], Ranges]:
        """Encode a text again; `reencode` checks the added tokens of the result."""

    def pad_id(self, original: object) -> int | None:
        """Return the padding token of the caller's tokenizer, else an added token with a usual name for it."""
        named = getattr(original, "pad_token_id", None)
        if isinstance(named, int):
            return named
        by_content = {token.content: index for index, token in self.added.items()}
        return next((by_content[name] for name in _PADDING if name in by_content), None)


def find_added_tokens(tokenizer: TextTokenizer, text: str, ids: Sequence[int], ranges: Ranges) -> list[AddedTokenMatch]:
    """Return the added tokens among the tokens of a text, except those of only white space.

    A token for unknown text is none of them, unless it stands for its own content.

    The ranges of tokens that stripped white space around them (``lstrip``, ``rstrip``) are narrowed to their content in
    place, so that the white space has no token.
    """
    starts, ends = ranges
    matches = []
    for index in compress(range(len(ids)), map(tokenizer.nonblank_ids.__contains__, ids)):
        token = tokenizer.added[ids[index]]
        if tokenizer.is_unknown(ids[index], text[starts[index] : ends[index]]):
            continue
        if token.strips:
            found = text.find(token.content, starts[index], ends[index])
            if found >= 0:
                starts[index], ends[index] = found, found + len(token.content)
        matches.append(AddedTokenMatch(index, ids[index], starts[index], ends[index]))
    return matches
