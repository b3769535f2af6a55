"""Tokenizers of the ``tokenizers`` library: ids at full speed, and escaping of control tokens by a sentinel copy.

In the sentinel copy of a tokenizer, the content of each added token except white space is a private-use sentinel of the
same length. The control tokens that the template wrote are replaced by their sentinels before encoding, so they are
matched, while the contents of messages stay ordinary text; one pass encodes the whole text, and everything else is as
in the tokenizer. One more sentinel marks a cut: no token crosses it, and it is removed from the result.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from chattmpl.encode.offsets import (
    BYTE_ALPHABET,
    Ranges,
    TokenBytes,
    TokenDecoder,
    close_gaps,
    decode_byte_level,
    decode_metaspace,
)
from chattmpl.encode.tokenizer import AddedTokenInfo, AddedTokenMatch, Reencoding, TextTokenizer
from chattmpl.errors import EncodeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PRIVATE = (range(0x100000, 0x10FFFE), range(0xF0000, 0xFFFFE), range(0xE000, 0xF900))
"""The private-use code points for sentinels, which no text should contain."""

_NONCHARACTER = "\U0010ffff"
_COPIES_KEPT = 2


class FastTokenizer(TextTokenizer):
    """A ``tokenizers.Tokenizer``.

    Attributes:
        raw: the tokenizer.
        saved: the number of added tokens in the file that defines it; None without such a file.
    """

    def __init__(self, raw: Tokenizer, saved: int | None = None) -> None:
        super().__init__()
        self.raw, self.saved = raw, saved
        self._bare_copy: Tokenizer | None = None
        self._sentinel_copies: OrderedDict[int, _SentinelCopy] = OrderedDict()
        self._model_size = raw.get_vocab_size(with_added_tokens=False)
        self._decoder = _decoder(raw)
        self._table = TokenBytes(self._bytes)
        self._read_added()

    def _read_added(self) -> None:
        tokens = self.raw.get_added_tokens_decoder().items()
        self.set_added(
            {index: AddedTokenInfo(token.content, token.special, token.lstrip, token.rstrip) for index, token in tokens}
        )
        self.unknown_id = _unknown_id(self.raw)
        self._drops = _drops_text(self.raw, self._decoder is decode_byte_level)
        self._bare_copy = None
        self._sentinel_copies.clear()

    def _bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token that is not cached; read the added tokens again if the id is new."""
        if token_id >= self._model_size and token_id not in self.added:
            self._read_added()
        added = self.added.get(token_id)
        if added is not None and self._decoder is not decode_metaspace:
            return added.content.encode()
        token = self.raw.id_to_token(token_id)
        return b"" if token is None or self._decoder is None else self._decoder(token)

    def byte_length(self, token_id: int) -> int | None:
        """Return the number of bytes that a token stands for; None if only the tokenizer's own offsets show it."""
        return None if self._decoder is None or token_id == self.unknown_id else len(self._table[token_id])

    @property
    def _bare(self) -> Tokenizer:
        """A copy without truncation, padding and post-processor."""
        if self._bare_copy is None:
            self._bare_copy = _from_dict(_to_dict(self.raw))
        return self._bare_copy

    @property
    def _plain(self) -> Tokenizer:
        """The tokenizer itself, or the bare copy if it is set to truncate, pad or ignore special tokens."""
        raw = self.raw
        changes_text = raw.truncation is not None or raw.padding is not None or raw.encode_special_tokens
        return self._bare if changes_text else raw

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return _ids(self._plain, text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of several texts, encoded on all cores."""
        return [each.ids for each in self._plain.encode_batch_fast(list(texts), add_special_tokens=False)]

    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """Return the ranges of the tokens, from their bytes if possible, else from the tokenizer's own offsets."""
        aligned = self._table.align(text, data, ids) if self._decoder is not None else None
        if aligned is None and self._drops:
            aligned = self._align_kept(text, ids)
        return aligned or close_gaps(text, _encoded(self._bare, text, ids).offsets)

    def unknown_ranges(self, text: str, ids: Sequence[int], ranges: Ranges) -> Iterator[tuple[int, int]]:
        """Yield the characters that have the unknown token, or none because the model drops them."""
        yield from super().unknown_ranges(text, ids, ranges)
        if self._drops:
            yield from ((at, at + 1) for at, char in enumerate(text) if not self._keeps(char))

    @lru_cache(maxsize=4096)  # noqa: B019 - tokenizers are kept for as long as they are used
    def _keeps(self, char: str) -> bool:
        """Return whether a character has a token."""
        return bool(_ids(self._bare, char))

    def _align_kept(self, text: str, ids: Sequence[int]) -> Ranges | None:
        """Align the tokens with the characters that the model does not drop."""
        kept = [at for at, char in enumerate(text) if self._keeps(char)]
        short = "".join(map(text.__getitem__, kept))
        aligned = self._table.align(short, short.encode(), ids)
        if aligned is None:
            return None
        starts, ends = aligned
        return [kept[start] for start in starts], [kept[end - 1] + 1 for end in ends]

    def pad_id(self, original: object) -> int | None:
        """Return the padding token that the tokenizer is set to, else as for any tokenizer."""
        padding = self.raw.padding
        return padding["pad_id"] if padding else super().pad_id(original)

    def _reencode(self, request: Reencoding) -> tuple[list[int], Ranges]:
        text = request.text
        copy = self._sentinel_copy(text)
        if _ids(copy.raw, copy.replace_tokens(text, request.matches, ())) != request.ids:
            raise EncodeError(
                "this tokenizer encodes the text differently once its control tokens are replaced by sentinels",
                hint="control_tokens='allow' with straddle='include' encodes as the tokenizer does",
            )
        replaced = copy.replace_tokens(text, request.keep, request.cuts)
        encoded = _ids(copy.raw, replaced)
        result = [token_id for token_id in encoded if token_id != copy.cut_id]
        aligned = self._table.align(text, request.data, result) if self._decoder is not None else None
        if aligned is None and self._drops:
            aligned = self._align_kept(text, result)
        return result, aligned or close_gaps(text, copy.offsets(text, replaced, encoded))

    def _sentinel_copy(self, text: str) -> _SentinelCopy:
        base = _free_code_points(text, len(self.nonblank_ids) + 1)
        copy = self._sentinel_copies.get(base)
        if copy is None:
            contents = {index: self.added[index].content for index in self.nonblank_ids}
            copy = self._sentinel_copies[base] = _SentinelCopy(self.raw, contents, base)
            while len(self._sentinel_copies) > _COPIES_KEPT:
                self._sentinel_copies.popitem(last=False)
        return copy


class _SentinelCopy:
    """A copy of a tokenizer that matches control tokens only by their sentinels; see the module's docstring."""

    def __init__(self, raw: Tokenizer, control: dict[int, str], base: int) -> None:
        from tokenizers import AddedToken

        self._cut = chr(base)
        ordered = sorted(control.items())
        self._sentinels = {
            index: chr(base + 1 + number) * len(content) for number, (index, content) in enumerate(ordered)
        }
        renamed = {content: self._sentinels[index] for index, content in ordered}
        self.raw = _from_dict(_renamed(_to_dict(raw), renamed))
        self.raw.add_tokens([AddedToken(self._cut, normalized=False)])
        self.cut_id = self.raw.token_to_id(self._cut)
        moved = [content for index, content in ordered if self.raw.token_to_id(renamed[content]) != index]
        if moved:
            raise EncodeError(f"this tokenizer gives {moved[0]!r} another id when it is copied")

    def replace_tokens(self, text: str, keep: Sequence[AddedTokenMatch], cuts: Sequence[int]) -> str:
        """Return the text with sentinels for the control tokens to keep and for the cuts."""
        changes = [(match.start, match.end, self._sentinels[match.token_id]) for match in keep]
        changes += [(cut, cut, self._cut) for cut in cuts]
        parts, position = [], 0
        for start, end, new in sorted(changes):
            parts += [text[position:start], new]
            position = end
        return "".join([*parts, text[position:]])

    def offsets(self, text: str, replaced: str, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return the tokenizer's own offsets in the original text, without those of the cuts."""
        result, cuts = [], 0
        if len(replaced) - ids.count(self.cut_id) != len(text):
            raise EncodeError("the normaliser of this tokenizer changes a control token, so it cannot be escaped")
        for token_id, (start, end) in zip(ids, _encoded(self.raw, replaced, ids).offsets, strict=True):
            if token_id == self.cut_id:
                cuts += 1
            else:
                result.append((start - cuts, end - cuts))
        return result


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # Offsets cost about a fifth of the time and are rarely needed, so this leaves them out.
    try:
        ids: list[int] = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    except Exception as error:
        raise EncodeError(
            f"the tokenizer cannot encode this text: {error}",
            hint="use a tokenizer with bytes or an unknown token for text that is not in its vocabulary",
        ) from None
    return ids


def _encoded(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> Any:
    encoded = tokenizer.encode(text, add_special_tokens=False)
    if encoded.ids != list(ids):
        raise EncodeError("this tokenizer encodes the same text differently each time, so its tokens have no offsets")
    return encoded


def _decoder(raw: Tokenizer) -> TokenDecoder | None:
    """Return the decoder of the vocabulary, judged by the tokenizer's parts; None if only its own offsets help."""
    try:
        parts = "".join(str(part.__getstate__()) for part in (raw.decoder, raw.pre_tokenizer) if part is not None)
    except Exception:  # Parts written in Python have no state.
        return None
    if "ByteLevel" in parts:
        return decode_byte_level
    return decode_metaspace if "Metaspace" in parts or "ByteFallback" in parts else None


def _drops_text(raw: Tokenizer, byte_level: bool) -> bool:
    """Return whether the model drops characters that are not in its vocabulary."""
    if raw.normalizer is not None or not (byte_level or "Metaspace" in str(raw.pre_tokenizer)):
        return False  # Other parts may drop characters, or join them.
    try:
        return any(not raw.model.tokenize(text) for text in (BYTE_ALPHABET if byte_level else (_NONCHARACTER,)))
    except Exception:  # A Unigram model without an unknown token raises.
        return False


def _unknown_id(raw: Tokenizer) -> int | None:
    """Return the token for unknown text, which the model gives to a character that is in no vocabulary."""
    name = getattr(raw.model, "unk_token", None)
    if name is not None:
        return raw.token_to_id(name)
    try:
        tokens = raw.model.tokenize(_NONCHARACTER)
    except Exception:  # A Unigram model without such a token raises.
        return None
    return tokens[0].id if len(tokens) == 1 else None


def _to_dict(raw: Tokenizer) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(raw.to_str())
    except Exception as error:
        raise EncodeError(
            f"this tokenizer cannot be copied ({error})",
            hint="parts written in Python prevent it; control_tokens='allow' and straddle='include' need no copy",
        ) from error
    return loaded


def _from_dict(definition: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    # The post-processor adds special tokens, which are never requested, and trims offsets.
    return Tokenizer.from_str(json.dumps({**definition, "truncation": None, "padding": None, "post_processor": None}))


def _renamed(definition: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Rename the added tokens of a definition, in the model's vocabulary too, so that no merge produces one."""
    added = [
        {**token, "content": names[token["content"]], "normalized": False, "single_word": False}
        if token["content"] in names
        else token
        for token in definition["added_tokens"]
    ]
    model = {**definition["model"]}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    return {**definition, "added_tokens": added, "model": model}


def _touches(merge: str | list[str], names: dict[str, str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def _free_code_points(text: str, count: int) -> int:
    """Return the first of ``count`` consecutive private-use code points that the text does not contain."""
    used = set() if text.isascii() else {ord(char) for char in set(text)}
    for block in _PRIVATE:
        for base in range(block.start, block.stop - count, count):
            if used.isdisjoint(range(base, base + count)):
                return base
    raise EncodeError("the text contains all private-use code points, so its control tokens cannot be escaped")
