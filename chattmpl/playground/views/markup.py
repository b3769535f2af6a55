"""HTML of our own making: whatever text goes in, no markup of its own comes out."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from chattmpl.printable import html_of, visible


def quoted(text: object) -> str:
    """A text for the inside of an element or of an attribute, with what nobody would see made visible."""
    return escape(visible(str(text)), quote=True)


def spaced(text: str) -> str:
    """The text of a token: spaces get signs too, and nothing breaks the line."""
    return '<i class="sp"> </i>'.join(html_of(part).replace("\n", "") for part in text.split(" "))


def listed(items: Iterable[str], kind: str = "") -> str:
    """A list of items that are HTML already."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="{kind}">{inside}</ul>' if inside else ""


def code(text: object) -> str:
    """A word of a program."""
    return f"<code>{quoted(text)}</code>"


def note(headline: str, body: str = "", kind: str = "info") -> str:
    """A box that says something about a view.

    Args:
        headline: text.
        body: HTML.
        kind: ``info``, ``warning`` or ``error``.
    """
    return f'<div class="note {kind}"><h3>{quoted(headline)}</h3>{body}</div>'


def nothing(headline: str, why: str) -> str:
    """What stands where there is nothing to show."""
    return f'<div class="nothing"><h3>{quoted(headline)}</h3><p>{quoted(why)}</p></div>'
