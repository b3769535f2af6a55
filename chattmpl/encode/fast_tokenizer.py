"""Tokenizers of the ``tokenizers`` library: ids at full speed, and control tokens kept apart by an armoured copy.

The armoured copy of a tokenizer knows each control token not by its content but by a private sentinel of the same
length (and so any added token but those of white space). The template's own control tokens are replaced by their
sentinels before encoding, so those are found, and what a message holds stays ordinary text, in one pass over the whole
text with all else as the tokenizer has it. One more sentinel makes a cut: no token goes across it, and it is taken out
afterwards.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chattmpl.encode.offsets import Ranges, Reading, TokenTable, byte_level, metaspace, repair
from chattmpl.encode.tokenizer import Added, Hit, TextTokenizer
from chattmpl.errors import EncodeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PRIVATE = (range(0x100000, 0x10FFFE), range(0xF0000, 0xFFFFE), range(0xE000, 0xF900))
"""The code points that no text should hold, from which the sentinels are drawn."""

_COPIES_KEPT = 2


class FastTokenizer(TextTokenizer):
    """A ``tokenizers.Tokenizer``."""

    def __init__(self, raw: Tokenizer) -> None:
        super().__init__()
        self.raw = raw
        self._bare_copy: Tokenizer | None = None
        self._armoured: OrderedDict[int, _Armoured] = OrderedDict()
        self._model_size = raw.get_vocab_size(with_added_tokens=False)
        self._reading = _reading(raw)
        self._table = TokenTable(self._bytes)
        self._read_added()

    def _read_added(self) -> None:
        tokens = self.raw.get_added_tokens_decoder().items()
        self.know({index: Added(token.content, token.special, token.lstrip, token.rstrip) for index, token in tokens})
        self._bare_copy = None
        self._armoured.clear()

    def _bytes(self, token_id: int) -> bytes:
        """The bytes of a token that is met for the first time; one that was added since makes us look again."""
        if token_id >= self._model_size and token_id not in self.added:
            self._read_added()
        added = self.added.get(token_id)
        if added is not None and self._reading is not metaspace:
            return added.content.encode()
        token = self.raw.id_to_token(token_id)
        return b"" if token is None or self._reading is None else self._reading(token)

    def byte_length(self, token_id: int) -> int | None:
        """How many bytes of a text a token stands for; None if only the tokenizer's own offsets can tell."""
        return None if self._reading is None else len(self._table[token_id])

    @property
    def _bare(self) -> Tokenizer:
        """A copy that truncates, pads and trims nothing."""
        if self._bare_copy is None:
            self._bare_copy = _from_dict(_to_dict(self.raw))
        return self._bare_copy

    @property
    def _plain(self) -> Tokenizer:
        """The tokenizer itself, or the bare copy while it is set to truncate, pad or ignore special tokens."""
        raw = self.raw
        bites = raw.truncation is not None or raw.padding is not None or raw.encode_special_tokens
        return self._bare if bites else raw

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return _ids(self._plain, text)

    def locate(self, text: str, data: bytes, ids: Sequence[int]) -> Ranges:
        """The ranges of the tokens, by their bytes, else by the tokenizer's own offsets."""
        tiled = self._table.tile(text, data, ids) if self._reading is not None else None
        return tiled or repair(text, _encoded(self._bare, text, ids).offsets)

    def pad_id(self, original: object) -> int | None:
        """The padding token that the tokenizer is set to, else as for any other."""
        padding = self.raw.padding
        return padding["pad_id"] if padding else super().pad_id(original)

    def recode(
        self,
        text: str,
        data: bytes,
        ids: Sequence[int],
        keep: Sequence[Hit],
        escape: Sequence[Hit],
        cuts: Sequence[int],
    ) -> tuple[list[int], Ranges]:
        """The tokens with some control tokens kept, others not, by the armoured copy."""
        armoured = self._armour(text)
        honoured = sorted((*keep, *escape), key=lambda hit: hit.start)
        if _ids(armoured.raw, armoured.guarded(text, honoured, ())) != ids:
            raise EncodeError(
                "this tokenizer encodes the text differently when its control tokens are kept apart",
                hint="control_tokens='allow' with straddle='include' encodes as the tokenizer does",
            )
        guarded = armoured.guarded(text, keep, cuts)
        encoded = _ids(armoured.raw, guarded)
        result = [token_id for token_id in encoded if token_id != armoured.cut_id]
        if [token_id for token_id in result if token_id in self.candidates] != [hit.token_id for hit in keep]:
            raise EncodeError(
                "a control token of a message could not be encoded as ordinary text",
                hint="control_tokens='error' refuses such conversations one by one",
            )
        tiled = self._table.tile(text, data, result) if self._reading is not None else None
        return result, tiled or repair(text, armoured.offsets(text, guarded, encoded))

    def _armour(self, text: str) -> _Armoured:
        base = _free_code_points(text, len(self.candidates) + 1)
        armoured = self._armoured.get(base)
        if armoured is None:
            contents = {index: self.added[index].content for index in self.candidates}
            armoured = self._armoured[base] = _Armoured(self.raw, contents, base)
            while len(self._armoured) > _COPIES_KEPT:
                self._armoured.popitem(last=False)
        return armoured


class _Armoured:
    """A copy of a tokenizer whose control tokens are found by their sentinels only; see the module's docstring."""

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
            raise EncodeError(f"this tokenizer gives {moved[0]!r} another id when it is loaded again")

    def guarded(self, text: str, keep: Sequence[Hit], cuts: Sequence[int]) -> str:
        """The text with sentinels for the control tokens to honour, and the cuts made visible."""
        changes = [(hit.start, hit.end, self._sentinels[hit.token_id]) for hit in keep]
        changes += [(cut, cut, self._cut) for cut in cuts]
        parts, position = [], 0
        for start, end, new in sorted(changes):
            parts += [text[position:start], new]
            position = end
        return "".join([*parts, text[position:]])

    def offsets(self, text: str, guarded: str, ids: Sequence[int]) -> list[tuple[int, int]]:
        """The tokenizer's own offsets in the original text, those of the cuts left out."""
        result, cuts = [], 0
        if len(guarded) - ids.count(self.cut_id) != len(text):
            raise EncodeError("a control token that the normaliser of this tokenizer changes cannot be kept apart")
        for token_id, (start, end) in zip(ids, _encoded(self.raw, guarded, ids).offsets, strict=True):
            if token_id == self.cut_id:
                cuts += 1
            else:
                result.append((start - cuts, end - cuts))
        return result


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # without offsets, which cost about a fifth of the time and are rarely needed
    ids: list[int] = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    return ids


def _encoded(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> Any:
    encoded = tokenizer.encode(text, add_special_tokens=False)
    if encoded.ids != list(ids):
        raise EncodeError("this tokenizer encodes the same text differently each time, so its tokens cannot be placed")
    return encoded


def _reading(raw: Tokenizer) -> Reading | None:
    """How the vocabulary spells, judged by the parts of the tokenizer; None if only its own offsets can tell."""
    try:
        parts = "".join(str(part.__getstate__()) for part in (raw.decoder, raw.pre_tokenizer) if part is not None)
    except Exception:  # parts written in Python cannot be looked into
        return None
    if "ByteLevel" in parts:
        return byte_level
    return metaspace if "Metaspace" in parts or "ByteFallback" in parts else None


def _to_dict(raw: Tokenizer) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(raw.to_str())
    except Exception as error:
        raise EncodeError(
            f"this tokenizer cannot be copied ({error})",
            hint="parts written in Python cannot: control_tokens='allow' and straddle='include' need no copy",
        ) from error
    return loaded


def _from_dict(definition: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    # the post-processor adds special tokens, which we never ask for, and trims offsets
    return Tokenizer.from_str(json.dumps({**definition, "truncation": None, "padding": None, "post_processor": None}))


def _renamed(definition: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A tokenizer's definition with added tokens renamed, in the model's vocabulary too, so that no merge makes one."""
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
    """The first of ``count`` private code points in a row that the text does not use."""
    used = set() if text.isascii() else {ord(char) for char in set(text)}
    for block in _PRIVATE:
        for base in range(block.start, block.stop - count, count):
            if used.isdisjoint(range(base, base + count)):
                return base
    raise EncodeError("the text uses all private code points, so its control tokens cannot be kept apart")
