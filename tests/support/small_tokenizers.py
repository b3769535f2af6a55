"""Small tokenizers of every kind, made on the spot: what they do to a text matters, not what they have learnt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from chattmpl.encode import TextTokenizer, load_tokenizer
from chattmpl.encode.offsets import decode_byte_level

TEXTS = (
    "The quick brown fox jumps over the lazy dog. It is what it is, and that is that.",
    "user: hello there, how are you? assistant: I am well, thank you. ok ok ok",
    "naïve café — 日本語 😀 Привет",
)
CONTROL = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")


def with_control(tokenizer: Tokenizer, **flags: bool) -> Tokenizer:
    """Adds the ChatML control tokens as Qwen has them: the frame special, the think tags not."""
    settings = {"normalized": False, **flags}
    tokenizer.add_special_tokens([AddedToken(content, **settings) for content in CONTROL[:2]])
    tokenizer.add_tokens([AddedToken(content, **settings) for content in CONTROL[2:]])
    return tokenizer


def byte_level_bpe(
    *, trim_offsets: bool = False, prefix_space: bool = False, normalizer: normalizers.Normalizer | None = None
) -> Tokenizer:
    """GPT-2's kind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def metaspace_bpe(scheme: str = "always") -> Tokenizer:
    """Llama 2's kind: ``▁`` for a space, one put in front, bytes for what the vocabulary lacks."""
    letters = sorted(set("".join(TEXTS[:2])) - {" "})
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("i", "s"), ("▁", "is"), ("o", "k"), ("▁", "ok")]
    pieces += [left + right for left, right in merges]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def unigram_with_control_pieces() -> Tokenizer:
    """T5's kind, with the control tokens also among the pieces, likelier than any other."""
    letters = sorted(set("".join(TEXTS)) | set("".join(CONTROL)))
    pieces = [("<unk>", 0.0), *((content, -1.0) for content in CONTROL), *((letter, -5.0) for letter in letters)]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("▁the", -6.0), ("▁", -5.0)], unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return tokenizer


def tokenizers_without_bytes() -> dict[str, Tokenizer]:
    """Vocabularies of ASCII, with ``<unk>``, a special token, for all other text."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {piece: index for index, piece in enumerate(["<unk>", "▁", "\n", *letters])}
    words = vocabulary | {word: 200 + index for index, word in enumerate(("the", "ok", "user", "assistant"))}
    made = {
        "unigram": Tokenizer(models.Unigram([(piece, -2.0) for piece in vocabulary], unk_id=0, byte_fallback=False)),
        "characters": Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>")),
        "fused": Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True)),
        "words": Tokenizer(models.WordLevel(vocab=words, unk_token="<unk>")),
    }
    for name, tokenizer in made.items():
        tokenizer.add_special_tokens(["<unk>"])
        if name == "words":
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        else:
            _spell_spaces(tokenizer)
        with_control(tokenizer)
    return made


def _spell_spaces(tokenizer: Tokenizer) -> None:
    """Makes ▁ of spaces, and splits at nothing."""
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")


def tokenizers_that_drop_text() -> dict[str, Tokenizer]:
    """Vocabularies of ASCII, without a token for other text."""
    letters = [chr(code) for code in range(33, 127)]
    made = {}
    for name, space in (("characters", ("▁", "\n")), ("bytes", ("Ġ", "Ċ"))):
        vocabulary = {piece: index for index, piece in enumerate([*space, *letters])}
        tokenizer = made[name] = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        if name == "bytes":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
        else:
            _spell_spaces(tokenizer)
        with_control(tokenizer)
    return made


def word_pieces() -> Tokenizer:
    """BERT's kind: lower-cases, strips accents, and drops all white space."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[PAD]"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


class SlowBytes:
    """A tokenizer in Python: byte-level, with control tokens, and neither offsets nor a copy without them."""

    def __init__(self, *, lowercase: bool = False, drops_spaces: bool = False) -> None:
        self.fast = with_control(byte_level_bpe())
        self.lowercase = lowercase
        self.drops_spaces = drops_spaces
        self.added_tokens_decoder = self.fast.get_added_tokens_decoder()
        self.all_special_ids = [self.fast.token_to_id(content) for content in CONTROL[:2]]
        self.pad_token_id = 0

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The tokens; with a stray first one, as real ones add, unless asked not to."""
        text = text.lower() if self.lowercase else text
        ids: list[int] = self.fast.encode(text).ids
        if self.drops_spaces:
            ids = [token for token in ids if decode_byte_level(str(self.fast.id_to_token(token))).strip()]
        return [0, *ids] if add_special_tokens else ids

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's strings."""
        return [str(self.fast.id_to_token(token)) for token in ids]


@cache
def lint_tokenizer(name: str) -> TextTokenizer:
    """Return a tokenizer by name: ``demo``, ``bos`` (adds ``<s>``) or ``plain`` (with a token that is not special)."""
    if name == "demo":
        return load_tokenizer(name)
    raw = with_control(byte_level_bpe())
    if name == "bos":
        raw.add_special_tokens([AddedToken("<s>", normalized=False)])
        raw.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", raw.token_to_id("<s>"))]
        )
    elif name == "plain":
        raw.add_tokens([AddedToken("<|plain|>", normalized=False)])
    else:
        raise ValueError(f"there is no tokenizer {name!r}")
    return load_tokenizer(raw)
