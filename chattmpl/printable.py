"""Text and JSON that are safe to print: control and invisible characters are shown by their code points.

A rendered text comes from someone else's data. Escape sequences in it could rewrite what is on the screen, and
bidirectional controls could reorder it, so neither is ever printed raw.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from html import escape

_JOINERS = "\u200c\u200d"
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # soft hyphen, bidi, zero width, separators
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff"  # byte order mark, annotations, surrogates, tags
    "]"
    # Joiners shape emoji and scripts between two characters; anywhere else they are merely invisible.
    rf"|(?<![^\s{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\s{_JOINERS}])"
    # The log of a GitHub action executes "::" at the start of a line, where wrapping may put it, and "##[" anywhere.
    r"|(?<!\S):(?=:)|(?<=##)\["
)
_VARIATION = re.compile("[\ufe00-\ufe0f]")
_UNSAFE_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that JSON strings may hold raw, but that a terminal or a line reader may act on."""


def visible(text: str) -> str:
    """Return the text with each control or invisible character as ``⟨U+001B⟩``; newlines and tabs stay."""
    return "".join(part for part, _ in fragments(text)) if _HIDDEN.search(text) else text


def fragments(text: str) -> Iterator[tuple[str, bool]]:
    """Split text into parts, each with a flag: does it stand for a character that is not shown as itself?

    Newlines and tabs are left to the caller. A combining mark at the start of the text would attach to whatever is
    printed before it, so it follows a dotted circle.
    """
    if text and _VARIATION.match(text):
        yield _code_point(text[0]), True
        text = text[1:]
    elif text and unicodedata.category(text[0]).startswith("M"):
        yield "◌", True
    position = 0
    for match in _HIDDEN.finditer(text):
        if match.start() > position:
            yield text[position : match.start()], False
        yield _code_point(match.group()), True
        position = match.end()
    if position < len(text):
        yield text[position:], False


def one_line(text: str) -> str:
    """Return the text on one line, with signs for newlines and tabs."""
    return visible(text).replace("\n", "↵").replace("\t", "⇥")


def excerpt(value: object, width: int = 60) -> str:
    """Return a value on one line of at most ``width`` characters, strings in quotes."""
    return shortened(one_line(repr(value) if not isinstance(value, str) else f'"{value}"'), width)


def shortened(text: str, width: int = 100) -> str:
    """Return a text, cut to at most ``width`` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def html_of(text: str) -> str:
    """Return the text as HTML, with empty elements for newlines (``n``), tabs (``tab``) and hidden characters (``h``).

    A style sheet draws their signs, so that they are not copied with the text.
    """
    return "".join(_marked(text))


def dumps(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that is safe to print, without a final newline."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNSAFE_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _code_point(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def _marked(text: str) -> Iterator[str]:
    for index, line in enumerate(text.split("\n")):
        if index:
            yield '<i class="n"></i>\n'
        for tabbed, cell in enumerate(line.split("\t")):
            if tabbed:
                yield '<i class="tab"></i>\t'
            for part, hidden in fragments(cell):
                yield f'<i class="h" data-c="{escape(part, quote=True)}"></i>' if hidden else escape(part)


def row_place(file: str, line: int | None, number: int) -> str:
    """Return the place of a row: ``file:line``, or ``file[number]`` in a file without lines."""
    return f"{file}[{number}]" if line is None else f"{file}:{line}"


def names(items: Iterable[str], most: int = 4) -> str:
    """Return the first distinct names, and the number of further ones."""
    distinct = list(dict.fromkeys(items))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return ", ".join(distinct[:most]) + more


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 case``, ``2 cases``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
