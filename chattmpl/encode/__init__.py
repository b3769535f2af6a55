"""Encoding of renderings: token ids, and the mask of the trained tokens."""

from chattmpl.encode.encoder import EncodeOptions, encode
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
    "load_tokenizer",
    "special_tokens_of",
    "template_for",
]
