"""Encoding of renderings: token ids, and the mask of the trained tokens."""

from __future__ import annotations

from chattmpl.encode.encoder import ControlTokenChoice, EncodeOptions, encode
from chattmpl.encode.encoding import Encoding, Escape, Side, Straddle, Truncation
from chattmpl.encode.mask import MaskChoice, StraddleChoice
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.encode.tokenizer_loader import load_tokenizer

__all__ = [
    "ControlTokenChoice",
    "EncodeOptions",
    "Encoding",
    "Escape",
    "MaskChoice",
    "Side",
    "Straddle",
    "StraddleChoice",
    "TextTokenizer",
    "Truncation",
    "encode",
    "load_tokenizer",
]
