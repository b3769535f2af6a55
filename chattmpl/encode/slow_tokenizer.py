"""Tokenizers written in Python, which have ids and token strings but no offsets: known by what they can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from chattmpl.encode.offsets import Ranges, Reading, TokenTable, byte_level, metaspace, one_byte_each
from chattmpl.encode.tokenizer import Added, Hit, TextTokenizer
from chattmpl.errors import EncodeError
from chattmpl.source import Place, Source


def _plainly(token: str) -> bytes:
    return token.encode()


def _word_pieces(token: str) -> bytes:
    return token.removeprefix("##").encode()


_READINGS: tuple[Reading, ...] = (byte_level, metaspace, one_byte_each, _word_pieces, _plainly)
"""All ways in which vocabularies spell; the one that gives back the text is the right one."""


class SlowTokenizer(TextTokenizer):
    """A tokenizer with ``encode(text, add_special_tokens=False)`` and ``convert_ids_to_tokens(ids)``.

    There is no copy of it without control tokens. A control token of a message is therefore encoded in two parts, cut
    after its first character; texts are encoded in pieces only where this is seen to give the tokenizer's own ids.
    """

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw
        self._tables = [TokenTable(self._reader(reading)) for reading in _READINGS]
        self._known = -1
        self._read_added()

    def _read_added(self) -> None:
        decoder = getattr(self.raw, "added_tokens_decoder", None) or {}
        special = set(getattr(self.raw, "all_special_ids", None) or ())
        added = {}
        for index, token in decoder.items():
            content, flags = str(getattr(token, "content", token)), ("special", "lstrip", "rstrip")
            isspecial, *strips = (bool(getattr(token, flag, False)) for flag in flags)
            added[int(index)] = Added(content, isspecial or index in special, *strips)
        for index in special - added.keys():
            added[index] = Added(str(self.raw.convert_ids_to_tokens([index])[0]), special=True)
        if added != self.added:
            self.know(added)
            self._tables = [TokenTable(self._reader(reading)) for reading in _READINGS]

    def _reader(self, reading: Reading) -> Callable[[int], bytes]:
        def read(token_id: int) -> bytes:
            if token_id in self.added:
                return self.added[token_id].content.encode()
            return reading(str(self.raw.convert_ids_to_tokens([token_id])[0]))

        return read

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        self._read_added()
        return self._piece(text)

    def _piece(self, text: str) -> list[int]:
        return [int(token_id) for token_id in self.raw.encode(text, add_special_tokens=False)] if text else []

    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """The ranges of the tokens under the first reading that gives back the text."""
        for table in self._tables:
            if (ranges := table.tile(text, data, ids)) is not None:
                return ranges
        parted = 0
        for table in self._tables:
            walked = table.walk(text, data, ids)
            if not isinstance(walked, int):
                return walked
            parted = max(parted, walked)
        raise EncodeError(
            "this tokenizer has no offsets, and its tokens do not spell the text: from here on they cannot be placed",
            place=Place(Source(text, "rendered text"), parted, parted + 1),
            hint="a fast tokenizer (tokenizer.json) has offsets also where it changes the text",
        )

    def recode(
        self,
        text: str,
        data: bytes,
        ids: Sequence[int],
        keep: Sequence[Hit],
        escape: Sequence[Hit],
        cuts: Sequence[int],
    ) -> tuple[list[int], Ranges]:
        """The tokens with some control tokens kept, others not, encoded in pieces."""
        honoured = sorted((*keep, *escape), key=lambda hit: hit.start)
        if list(self._in_pieces(text, honoured, ())) != ids:
            raise EncodeError(
                "this tokenizer encodes a text in pieces differently from the whole, so nothing can be kept apart",
                hint="control_tokens='allow' with straddle='include' encodes as the tokenizer does; "
                "a fast tokenizer (tokenizer.json) can do more",
            )
        result = list(self._in_pieces(text, keep, sorted({*cuts, *(hit.start + 1 for hit in escape)})))
        if [token_id for token_id in result if token_id in self.candidates] != [hit.token_id for hit in keep]:
            raise EncodeError(
                "a control token of a message could not be encoded as ordinary text",
                hint="control_tokens='error' refuses such conversations one by one",
            )
        return result, self.locate(text, data, result)

    def _in_pieces(self, text: str, keep: Sequence[Hit], cuts: Sequence[int]) -> Iterator[int]:
        kept = {hit.start: hit for hit in keep}
        swallows_before = {hit.start for hit in keep if self.added[hit.token_id].lstrip} - {*cuts}
        swallows_after = {hit.end for hit in keep if self.added[hit.token_id].rstrip} - {*cuts}
        bounds = sorted({0, len(text), *cuts, *kept, *(hit.end for hit in keep)})
        for start, end in pairwise(bounds):
            if start in kept:
                yield kept[start].token_id
                continue
            piece = text[start:end]
            piece = piece.lstrip() if start in swallows_after else piece
            yield from self._piece(piece.rstrip() if end in swallows_before else piece)
