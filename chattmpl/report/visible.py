"""Texts made visible: what a terminal would obey, and what nobody would see, as the number of its character.

A rendered text is somebody else's data. Escape sequences in it could rewrite what a person reads, and bidirectional
controls reorder it, so neither is ever printed raw.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import escape

_JOINERS = "\u200c\u200d"
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # soft hyphen, bidi, zero width, separators
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff"  # byte order mark, annotations, surrogates, tags
    "]"
    # Joiners shape emoji and scripts between two characters; anywhere else they only hide.
    rf"|(?<![^\s{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\s{_JOINERS}])"
)
_VARIATION = re.compile("[\ufe00-\ufe0f]")


def code(char: str) -> str:
    """A character by its number: ``⟨U+001B⟩``."""
    return f"⟨U+{ord(char):04X}⟩"


def fragments(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts, and for each whether it stands for a character that is not shown as itself.

    Newlines and tabs are left to the caller. A mark at the start of the text would join what is printed before it, so
    it gets a circle to stand on.
    """
    if text and _VARIATION.match(text):
        yield code(text[0]), True
        text = text[1:]
    elif text and unicodedata.category(text[0]).startswith("M"):
        yield "◌", True
    position = 0
    for match in _HIDDEN.finditer(text):
        if match.start() > position:
            yield text[position : match.start()], False
        yield code(match.group()), True
        position = match.end()
    if position < len(text):
        yield text[position:], False


def visible(text: str) -> str:
    """The text without anything that a terminal would obey; newlines and tabs stay."""
    return "".join(part for part, _ in fragments(text)) if _HIDDEN.search(text) else text


def html_of(text: str) -> str:
    """The text as HTML, where elements without text stand for newlines (``n``), tabs (``tab``) and hidden ones (``h``).

    A style sheet gives them their signs, which are therefore not copied with the text.
    """
    return "".join(_marked(text))


def _marked(text: str) -> Iterator[str]:
    for index, line in enumerate(text.split("\n")):
        if index:
            yield '<i class="n"></i>\n'
        for tabbed, cell in enumerate(line.split("\t")):
            if tabbed:
                yield '<i class="tab"></i>\t'
            for part, hidden in fragments(cell):
                yield f'<i class="h" data-c="{escape(part, quote=True)}"></i>' if hidden else escape(part)


def excerpt(value: object, width: int = 60) -> str:
    """A value on one line of at most ``width`` characters, strings in quotes."""
    text = visible(repr(value) if not isinstance(value, str) else f'"{value}"').replace("\n", "↵").replace("\t", "⇥")
    return text if len(text) <= width else f"{text[: width - 1]}…"
