"""Rendering × tokenizer → Encoding: ids, and a mask that says exactly which tokens are trained."""

from __future__ import annotations

from chattmpl.encode.alignment import Straddling
from chattmpl.encode.encoder import ControlTokens, EncodeOptions, Side, encode
from chattmpl.encode.encoding import Encoding, Escape, Straddle, Truncation
from chattmpl.encode.mask import MaskChoice
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.encode.tokenizer_loader import load_tokenizer

__all__ = [
    "ControlTokens",
    "EncodeOptions",
    "Encoding",
    "Escape",
    "MaskChoice",
    "Side",
    "Straddle",
    "Straddling",
    "TextTokenizer",
    "Truncation",
    "encode",
    "load_tokenizer",
]
