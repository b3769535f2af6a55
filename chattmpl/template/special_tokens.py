"""Patterns of control tokens, and placeholders for special tokens that are not known."""

from __future__ import annotations

import re

PIPED_CONTROL = re.compile(r"<\|[^|<>\s]{1,60}\|>|<｜[^｜<>]{1,60}｜>")
"""Control tokens that cannot be anything else: those between ``<|`` and ``|>``."""

CONTROL = re.compile(
    rf"{PIPED_CONTROL.pattern}|<\|?[A-Za-z_][\w.:-]*\|?>|</(?:(?:\w+_)?s|assistant|bot|model|user)>"
    r"|\[/?[A-Z_]{3,}\]|\[\|[^|\[\]\s]{1,60}\|\]|\[e~\[|\]~b\]"
)
"""Anything that resembles a control token, for templates whose tokenizer is not known."""

PIPED_TOKEN = re.compile(r"<\|.*\|>|<｜.*｜>", re.DOTALL)
"""Added tokens of a vocabulary that are control tokens by their form, whatever is between the delimiters."""

TAG = re.compile(r"<\|[^<>|]*\|>|<｜[^<>｜]*｜>|</?\w+>")
"""Control tokens and tags around a section of a turn, in the template's own text."""

PLACEHOLDERS = {name: f"<|{name}|>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Special tokens for a template that comes without any."""
