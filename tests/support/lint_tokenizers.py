"""The tokenizers that the fixtures of the rules on tokens name."""

from __future__ import annotations

from functools import cache

from tokenizers import AddedToken, processors

from chattmpl.encode import TextTokenizer, load_tokenizer
from support.small_tokenizers import byte_level_bpe, with_control


@cache
def lint_tokenizer(name: str) -> TextTokenizer:
    """``demo``; ``bos``, which adds ``<s>`` by itself; or ``plain``, whose ``<|plain|>`` is not special."""
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
