"""Encoding of renderings: token ids, and the mask of the trained tokens."""

from chattmpl.encode.encoder import EncodeOptions, encode, follows_prompt
from chattmpl.encode.encoding import Encoding, Escape, Straddle, Truncation
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.encode.tokenizer_loader import load_tokenizer, special_tokens_of, template_for

__all__ = [
    "EncodeOptions",
    "Encoding",
    "Escape",
    "Straddle",
    "TextTokenizer",
    "Truncation",
    "encode",
    "follows_prompt",
    "load_tokenizer",
    "special_tokens_of",
    "template_for",
]
