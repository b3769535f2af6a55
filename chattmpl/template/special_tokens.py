"""How control tokens look, and special tokens for templates that come without any."""

from __future__ import annotations

import re

CONTROL = re.compile(
    r"<\|[^|<>\s]{1,60}\|>|<｜[^｜<>]{1,60}｜>|<\|?[A-Za-z_][\w.:-]*\|?>|</(?:(?:\w+_)?s|assistant|bot|model)>|\[/?[A-Z_]{3,}\]"
    r"|\[\|[^|\[\]\s]{1,60}\|\]|\[e~\["
)
"""What looks like a control token."""

PLACEHOLDERS = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
"""Special tokens for a template that comes without any."""
