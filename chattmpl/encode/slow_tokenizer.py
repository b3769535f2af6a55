"""Tokenizers written in Python, which have ids and token strings but no offsets."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from chattmpl.encode.offsets import Ranges, TokenBytes, TokenDecoder, decode_byte_level, decode_latin1, decode_metaspace
from chattmpl.encode.tokenizer import AddedTokenInfo, AddedTokenMatch, Reencoding, TextTokenizer
from chattmpl.errors import EncodeError
from chattmpl.source import Place, Source

_DECODERS: tuple[TokenDecoder, ...] = (
    decode_byte_level,
    decode_metaspace,
    decode_latin1,
    lambda token: token.removeprefix("##").encode(),
    str.encode,
)
"""The known encodings of vocabularies; the one that restores the text is the right one."""


class SlowTokenizer(TextTokenizer):
    """A tokenizer with ``encode(text, add_special_tokens=False)`` and ``convert_ids_to_tokens(ids)``.

    Such a tokenizer cannot be copied without its control tokens. A control token of a message is therefore encoded in
    two parts, cut after its first character; a text is encoded in parts only if that gives the tokenizer's own ids.
    """

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw
        self._tables = [TokenBytes(self._decoder(decoder)) for decoder in _DECODERS]
        self._read_added()

    def _read_added(self) -> None:
        decoder = getattr(self.raw, "added_tokens_decoder", None) or {}
        special = set(getattr(self.raw, "all_special_ids", None) or ())
        added = {}
        for index, token in decoder.items():
            content, flags = str(getattr(token, "content", token)), ("special", "lstrip", "rstrip")
            isspecial, *strips = (bool(getattr(token, flag, False)) for flag in flags)
            added[int(index)] = AddedTokenInfo(content, isspecial or index in special, *strips)
        for index in special - added.keys():
            added[index] = AddedTokenInfo(str(self.raw.convert_ids_to_tokens([index])[0]), special=True)
        if added != self.added:
            self.set_added(added)
            self.unknown_id = getattr(self.raw, "unk_token_id", None)
            self._tables = [TokenBytes(self._decoder(decoder)) for decoder in _DECODERS]

    def _decoder(self, decoder: TokenDecoder) -> Callable[[int], bytes]:
        def decode(token_id: int) -> bytes:
            if token_id in self.added:
                return self.added[token_id].content.encode()
            return decoder(str(self.raw.convert_ids_to_tokens([token_id])[0]))

        return decode

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        self._read_added()
        return self._encode_part(text)

    def _encode_part(self, text: str) -> list[int]:
        return [int(token_id) for token_id in self.raw.encode(text, add_special_tokens=False)] if text else []

    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """Return the ranges of the tokens with the first decoder that restores the text."""
        for table in self._tables:
            if (ranges := table.align(text, data, ids)) is not None:
                return ranges
        difference = 0
        for table in self._tables:
            aligned = table.align_skipping_space(text, data, ids)
            if not isinstance(aligned, int):
                return aligned
            difference = max(difference, aligned)
        raise EncodeError(
            "this tokenizer has no offsets, and from here on its tokens do not spell the text",
            place=Place(Source(text, "rendered text"), difference, difference + 1),
            hint="use a fast tokenizer (tokenizer.json), which has offsets even if it changes the text",
        )

    def _reencode(self, request: Reencoding) -> tuple[list[int], Ranges]:
        text, keep = request.text, request.keep
        if list(self._in_parts(text, request.matches, ())) != request.ids:
            raise EncodeError(
                "this tokenizer encodes parts of a text differently, so it can neither escape control tokens nor split",
                hint="use a fast tokenizer (tokenizer.json), or control_tokens='allow' with straddle='include'",
            )
        cuts = sorted({*request.cuts, *(match.start + 1 for match in request.escape)})
        result = list(self._in_parts(text, keep, cuts))
        return result, self.locate(text, request.data, result)

    def _in_parts(self, text: str, keep: Sequence[AddedTokenMatch], cuts: Sequence[int]) -> Iterator[int]:
        kept = {match.start: match for match in keep}
        strips_before = {match.start for match in keep if self.added[match.token_id].lstrip} - {*cuts}
        strips_after = {match.end for match in keep if self.added[match.token_id].rstrip} - {*cuts}
        bounds = sorted({0, len(text), *cuts, *kept, *(match.end for match in keep)})
        for start, end in pairwise(bounds):
            if start in kept:
                yield kept[start].token_id
                continue
            part = text[start:end]
            part = part.lstrip() if start in strips_after else part
            yield from self._encode_part(part.rstrip() if end in strips_before else part)
