"""Refusals of a parse: the reason, and the characters of the text that it concerns."""

from __future__ import annotations

from chattmpl.errors import NotRepresentable
from chattmpl.source import Place, Source

_NAME = "<text>"
_MAX_SHOWN = 40


class ParseRefusal(Exception):
    """A failed attempt to parse, at characters ``[start, end)`` of the text."""

    def __init__(self, message: str, start: int, end: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = start + 1 if end is None else end
        self.hint = hint

    def error(self, text: str) -> NotRepresentable:
        """Return the error to raise for the caller of the parser."""
        start = min(self.start, len(text))
        place = Place(Source(text, _NAME), start, max(start, min(self.end, len(text))))
        return NotRepresentable(self.message, place=place, hint=self.hint)


def later(refusal: ParseRefusal | None, other: ParseRefusal) -> ParseRefusal:
    """Return the refusal further into the text, which explains more; the first of two at the same position."""
    return other if refusal is None or other.start > refusal.start else refusal


def difference(text: str, rendered: str, start: int = 0) -> ParseRefusal:
    """Return the refusal of a text that differs from what the template renders.

    Args:
        text: the whole text.
        rendered: the expected text from ``start`` on.
        start: the character offset at which the comparison begins.
    """
    offset = common_length(text, rendered, start)
    actual, expected = text[start + offset :], rendered[offset:]
    if not actual:
        message = f"the text ends where the template continues with {_shown(expected)}"
    elif not expected:
        message = f"the text continues with {_shown(actual)} where the template ends"
    else:
        message = f"the text has {_shown(actual)} where the template writes {_shown(expected)}"
    return ParseRefusal(message, start + offset, start + offset + max(1, min(len(actual), _MAX_SHOWN)))


def common_length(text: str, rendered: str, start: int = 0) -> int:
    """Return the length of the longest common prefix of ``rendered`` and the text from ``start`` on."""
    low, high = 0, min(len(text) - start, len(rendered))
    while low < high:
        middle = (low + high + 1) // 2
        if text.startswith(rendered[:middle], start):
            low = middle
        else:
            high = middle - 1
    return low


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…")
