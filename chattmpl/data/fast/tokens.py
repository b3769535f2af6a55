"""Token engines for many texts at once, and the number of bytes of each token."""

import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chattmpl.data.fast.markers import SEPARATOR, Unsupported
from chattmpl.data.fast.renderers import first_line
from chattmpl.encode.fast_tokenizer import FastTokenizer

_SEPARATOR = SEPARATOR.encode()
_UNKNOWN_LENGTH = 1 << 20
"""Length of a token that spells no bytes or is unknown: rows with one are never aligned."""

_SAFE_NORMALIZERS: tuple[Any, ...] = (
    {"type": "NFC"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
)
"""Normalizers with which the bytes of the tokens add up to those of the text if and only if the text is unchanged (for
NFC: if it was in that form before)."""


class TokenEngine(Protocol):
    """An encoder of texts to tokens."""

    name: str

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """Return the tokens of all texts in one array, and the ``count + 1`` offsets of the texts in it.

        The stream holds the texts in UTF-8, none of them empty, with `SEPARATOR` between them.
        """


class GigatokenEngine:
    """The package gigatoken, which uses all cores for many texts, or one in a worker process."""

    name = "gigatoken"

    _MANY = 20_000
    """Number of texts whose encoding takes as long as the import of awkward, which a batch on all cores needs."""

    def __init__(self, definition: str) -> None:
        try:
            import gigatoken
        except ImportError:
            raise Unsupported("gigatoken is not installed") from None
        try:
            self._tokenizer = gigatoken.Tokenizer.from_json(definition)
        except Exception as error:
            raise Unsupported(f"gigatoken cannot load the tokenizer ({first_line(error)})") from error
        self._source = gigatoken.BytesSource
        self._texts = 0

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine.encode`."""
        self._texts += count
        if self._texts < self._MANY or multiprocessing.parent_process() is not None:
            return _joined([self._tokenizer.encode(text) for text in stream.split(_SEPARATOR)])
        layout = self._tokenizer.encode_batch(self._source(stream, separator=_SEPARATOR)).layout
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        return np.asarray(layout.content.data)[: offsets[-1]], offsets


class TokenizersEngine:
    """The ``tokenizers`` library on all cores, without offsets."""

    name = "tokenizers"

    def __init__(self, definition: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(definition)

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine.encode`."""
        texts = [text.decode() for text in stream.split(_SEPARATOR)]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return _joined([np.array(encoding.ids, dtype=np.uint32) for encoding in encodings])


def _joined(parts: list[Any]) -> tuple[Any, Any]:
    """Return the tokens of all texts in one array, and the offsets of the texts in it."""
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.concatenate(parts), offsets


ENGINES: tuple[Callable[[str], TokenEngine], ...] = (GigatokenEngine, TokenizersEngine)
"""The fastest first."""


class TokenLengths:
    """The number of bytes of each token, looked up when it first occurs."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.raw.get_vocab_size(with_added_tokens=True)
        highest = max([size - 1, *tokenizer.added])
        self._lengths = np.zeros(highest + 1, dtype=np.int32)

    def of(self, ids: Any) -> Any:
        """Return the number of bytes of each token."""
        lengths = self._lengths.take(ids)
        if lengths.size and not lengths.min():
            for token_id in np.unique(ids[lengths == 0]).tolist():
                self._lengths[token_id] = self._tokenizer.byte_length(token_id) or _UNKNOWN_LENGTH
            lengths = self._lengths.take(ids)
        return lengths


@dataclass(frozen=True)
class TokenizerDefinition:
    """The definition of a tokenizer.

    Attributes:
        text: the JSON, without post-processor, truncation and padding.
        composes: true if the tokenizer normalizes texts to NFC.
    """

    text: str
    composes: bool


def read_definition(tokenizer: FastTokenizer) -> TokenizerDefinition:
    """Return the definition of a tokenizer whose tokens can be located by their bytes.

    Raises:
        Unsupported: its tokens cannot be located by their bytes.
    """
    try:
        definition = json.loads(tokenizer.raw.to_str())
    except Exception as error:
        raise Unsupported(f"the tokenizer cannot be copied ({first_line(error)})") from error
    normalizers = list(_normalizers(definition.get("normalizer")))
    if any(normalizer not in _SAFE_NORMALIZERS for normalizer in normalizers):
        raise Unsupported("the tokenizer has a normalizer that changes texts")
    if tokenizer.byte_length(0) is None:
        raise Unsupported("the vocabulary of the tokenizer does not spell bytes")
    if any(token.strips for token in tokenizer.added.values()):
        raise Unsupported("the tokenizer has added tokens that strip white space")
    text = json.dumps({**definition, "truncation": None, "padding": None, "post_processor": None})
    return TokenizerDefinition(text, composes={"type": "NFC"} in normalizers)


def _normalizers(given: Any) -> Iterator[Any]:
    """Yield the parts of a normalizer."""
    if given and given.get("type") == "Sequence":
        for part in given["normalizers"]:
            yield from _normalizers(part)
    elif given:
        yield given
