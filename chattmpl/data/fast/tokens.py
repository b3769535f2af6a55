"""Token engines for many texts at once, and the bytes that each token stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chattmpl.data.fast.markers import SEPARATOR, Unfit
from chattmpl.encode.fast_tokenizer import FastTokenizer

_SEPARATOR = SEPARATOR.encode()
_NO_TILE = 1 << 20
"""The length of a token that spells no bytes or is unknown: rows that have one never add up."""

_PLAIN_NORMALIZERS: tuple[Any, ...] = (
    {"type": "NFC"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
)
"""Those after which the bytes of the tokens add up to those of the text exactly where nothing was changed (for NFC:
where the text was in that form before)."""


class TokenEngine(Protocol):
    """Encodes texts."""

    name: str

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """The tokens of all texts in a row, and ``count + 1`` offsets of the texts in them.

        Args:
            stream: the UTF-8 bytes of the texts, none of them empty, with `SEPARATOR` between them.
            count: how many there are.
        """


class GigatokenEngine:
    """The package gigatoken, which uses all cores, but one in a worker process."""

    name = "gigatoken"

    def __init__(self, definition: str) -> None:
        try:
            import gigatoken
        except ImportError:
            raise Unfit("gigatoken is not installed") from None
        try:
            self._tokenizer = gigatoken.Tokenizer.from_json(definition)
        except Exception as error:
            raise Unfit(f"gigatoken cannot load the tokenizer ({_first_line(error)})") from error
        self._source = gigatoken.BytesSource

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine`."""
        layout = self._tokenizer.encode_batch(self._source(stream, separator=_SEPARATOR)).layout
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        return np.asarray(layout.content.data)[: offsets[-1]], offsets


class TokenizersEngine:
    """The ``tokenizers`` library, on all cores, without offsets."""

    name = "tokenizers"

    def __init__(self, definition: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(definition)

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine`."""
        texts = [text.decode() for text in stream.split(_SEPARATOR)]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        pieces = [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]
        offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
        np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
        return np.concatenate(pieces), offsets


ENGINES: tuple[Callable[[str], TokenEngine], ...] = (GigatokenEngine, TokenizersEngine)
"""The fastest first."""


class TokenLengths:
    """The number of bytes of each token, looked up when it is first met."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.raw.get_vocab_size(with_added_tokens=True)
        highest = max([size - 1, *tokenizer.added])
        self._lengths = np.zeros(highest + 1, dtype=np.int32)

    def of(self, ids: Any) -> Any:
        """The length in bytes of each token."""
        lengths = self._lengths.take(ids)
        if lengths.size and not lengths.min():
            for token_id in np.unique(ids[lengths == 0]).tolist():
                self._lengths[token_id] = self._tokenizer.byte_length(token_id) or _NO_TILE
            lengths = self._lengths.take(ids)
        return lengths


@dataclass(frozen=True)
class Definition:
    """A tokenizer's definition.

    Attributes:
        text: as JSON, less what adds, cuts away or fills up tokens.
        composes: whether it brings texts into the form NFC.
    """

    text: str
    composes: bool


def definition_of(tokenizer: FastTokenizer) -> Definition:
    """The definition of a tokenizer whose tokens can be placed by their bytes.

    Raises:
        Unfit: for any other.
    """
    try:
        definition = json.loads(tokenizer.raw.to_str())
    except Exception as error:
        raise Unfit(f"the tokenizer cannot be copied ({_first_line(error)})") from error
    normalizers = list(_normalizers(definition.get("normalizer")))
    if any(normalizer not in _PLAIN_NORMALIZERS for normalizer in normalizers):
        raise Unfit("the tokenizer has a normaliser that changes texts")
    if tokenizer.byte_length(0) is None:
        raise Unfit("the vocabulary of the tokenizer does not spell bytes")
    if any(token.strips for token in tokenizer.added.values()):
        raise Unfit("the tokenizer has added tokens that swallow white space")
    text = json.dumps({**definition, "truncation": None, "padding": None, "post_processor": None})
    return Definition(text, composes={"type": "NFC"} in normalizers)


def _normalizers(given: Any) -> Iterator[Any]:
    """What a normaliser is made of."""
    if given and given.get("type") == "Sequence":
        for part in given["normalizers"]:
            yield from _normalizers(part)
    elif given:
        yield given


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
