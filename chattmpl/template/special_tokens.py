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

HTML_TAG = re.compile(
    "</?(?:a|abbr|address|area|article|aside|audio|b|base|bdi|bdo|blockquote|body|br|button|canvas|caption|center|cite|code"
    "|col|colgroup|data|datalist|dd|del|details|dfn|dialog|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form"
    "|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|meter|nav|noscript"
    "|object|ol|optgroup|option|output|p|param|picture|pre|progress|q|rp|rt|ruby|s|samp|script|section|select|small"
    "|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr"
    "|track|tt|u|ul|var|video|wbr)>"
)
"""Tags of HTML, which are added tokens of some vocabularies and ordinary text."""

TAG = re.compile(r"<\|[^<>|]*\|>|<｜[^<>｜]*｜>|</?\w+>")
"""Control tokens and tags around a section of a turn, in the template's own text."""

PLACEHOLDERS = {name: f"<|{name}|>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Special tokens for a template that comes without any."""
