"""Tokenizers of the fast path: engines for many texts at once, and the number of bytes of each token."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chattmpl.data.fast.markers import SEPARATOR, Unsupported, first_line
from chattmpl.data.sources.chunks import digest_of
from chattmpl.encode import load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.encode.tokenizer_loader import tokenizer_files

_SEPARATOR = SEPARATOR.encode()
_UNKNOWN_LENGTH = 1 << 20
"""Length of a token that spells no bytes or is unknown: rows with one are never aligned."""

_SAFE_NORMALIZERS: tuple[Any, ...] = ({"type": "NFC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
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

    _MANY = 1 << 26
    """Number of bytes whose encoding takes as long as the import of awkward, which a batch on all cores needs."""

    def __init__(self, tokenizer: TokenizerHandle) -> None:
        try:
            import gigatoken
        except ImportError:
            raise Unsupported("gigatoken is not installed", lasting=False) from None
        definition = tokenizer.definition
        try:
            self._tokenizer = gigatoken.Tokenizer.from_json(definition)
        except Exception as error:
            raise Unsupported(f"gigatoken cannot load the tokenizer ({first_line(error)})") from error
        self._source = gigatoken.BytesSource
        self._bytes = 0

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine.encode`."""
        self._bytes += len(stream)
        if self._bytes < self._MANY or multiprocessing.parent_process() is not None:
            return _joined([self._tokenizer.encode(text) for text in stream.split(_SEPARATOR)])
        layout = self._tokenizer.encode_batch(self._source(stream, separator=_SEPARATOR)).layout
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        return np.asarray(layout.content.data)[: offsets[-1]], offsets


class TokenizersEngine:
    """The ``tokenizers`` library on all cores, without offsets."""

    name = "tokenizers"

    def __init__(self, tokenizer: TokenizerHandle) -> None:
        self._encode = tokenizer.fast.encode_batch

    def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
        """See `TokenEngine.encode`."""
        texts = [text.decode() for text in stream.split(_SEPARATOR)]
        return _joined([np.array(ids, dtype=np.uint32) for ids in self._encode(texts)])


def _joined(parts: list[Any]) -> tuple[Any, Any]:
    """Return the tokens of all texts in one array, and the offsets of the texts in it."""
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.concatenate(parts), offsets


ENGINES: tuple[type[GigatokenEngine | TokenizersEngine], ...] = (GigatokenEngine, TokenizersEngine)
"""The fastest first."""


# -- tokenizers


class TokenizerHandle:
    """A tokenizer that is loaded only where it is needed: what was found out about a file before is in a verdict.

    Args:
        source: what `chattmpl.encode.load_tokenizer` accepts.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._files = tokenizer_files(source) if isinstance(source, str | Path) else []

    @cached_property
    def loaded(self) -> TextTokenizer:
        """The tokenizer; raise `EncodeError` if it cannot be loaded."""
        return load_tokenizer(self._source)

    @property
    def fast(self) -> FastTokenizer:
        """The tokenizer; raise `Unsupported` if it is not one of the tokenizers library."""
        if not isinstance(self.loaded, FastTokenizer):
            raise Unsupported("the tokenizer is not one of the tokenizers library")
        return self.loaded

    @cached_property
    def digest(self) -> str:
        """A hash of its files, or of its definition; raise `Unsupported` if it has neither."""
        if self._files:
            return "".join(digest_of(str(file)) for file in self._files)
        return hashlib.sha256(self._written.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def as_is(self) -> bool:
        """True if its file defines it: no token was added to it, and it neither truncates nor pads."""
        fast = self.fast
        return bool(self._files) and fast.saved == len(fast.added) and not (fast.raw.truncation or fast.raw.padding)

    @property
    def definition(self) -> str:
        """Its definition as JSON."""
        if self.as_is:
            return self._files[0].read_text(encoding="utf-8")
        definition = json.loads(self._written)
        return json.dumps({**definition, "truncation": None, "padding": None, "post_processor": None})

    @cached_property
    def _written(self) -> str:
        try:
            return self.fast.raw.to_str()
        except Exception as error:
            raise Unsupported(f"the tokenizer cannot be copied ({first_line(error)})") from error

    def check(self) -> bool:
        """Check that its tokens can be located by their bytes; return true if it normalizes texts to NFC.

        Raises:
            Unsupported: they cannot.
        """
        tokenizer = self.fast
        normalizer = tokenizer.raw.normalizer
        try:
            normalizers = list(_normalizers(normalizer and json.loads(normalizer.__getstate__())))
        except Exception as error:
            raise Unsupported(f"the tokenizer cannot be copied ({first_line(error)})") from error
        if any(normalizer not in _SAFE_NORMALIZERS for normalizer in normalizers):
            raise Unsupported("the tokenizer has a normalizer that changes texts")
        if tokenizer.byte_length(0) is None:
            raise Unsupported("the vocabulary of the tokenizer does not spell bytes")
        if any(token.strips for token in tokenizer.added.values()):
            raise Unsupported("the tokenizer has added tokens that strip white space")
        return {"type": "NFC"} in normalizers


class PickledTokenizer:
    """The definition of a tokenizer, as it is pickled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def load(self) -> Any:
        """Load the tokenizer."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.text)


class TokenLengths:
    """The number of bytes of each token, looked up when it first occurs; a pickled copy contains all of them.

    Args:
        tokenizer: the tokenizer.
        known: the lengths from an earlier process.
    """

    def __init__(self, tokenizer: TokenizerHandle, known: bytes = b"") -> None:
        self._tokenizer = tokenizer
        if known:
            self._lengths = np.frombuffer(zlib.decompress(known), dtype=np.int32)
            return
        loaded = tokenizer.fast
        highest = max([loaded.raw.get_vocab_size(with_added_tokens=True) - 1, *loaded.added])
        self._lengths = np.zeros(highest + 1, dtype=np.int32)

    def of(self, ids: Any) -> Any:
        """Return the number of bytes of each token."""
        lengths = self._lengths.take(ids)
        if lengths.size and not lengths.min():
            self._look_up(np.unique(ids[lengths == 0]))
            lengths = self._lengths.take(ids)
        return lengths

    def _look_up(self, ids: Any) -> None:
        find = self._tokenizer.fast.byte_length
        self._lengths[ids] = [find(token_id) or _UNKNOWN_LENGTH for token_id in ids.tolist()]

    def all(self) -> bytes:
        """Return the lengths of all tokens, compressed."""
        self._look_up(np.flatnonzero(self._lengths == 0))
        return zlib.compress(self._lengths.tobytes(), 1)


def _normalizers(given: Any) -> Iterator[Any]:
    """Yield the parts of a normalizer."""
    if given and given.get("type") == "Sequence":
        for part in given["normalizers"]:
            yield from _normalizers(part)
    elif given:
        yield given
