"""Refusals: why a text is not parsed, and where."""

from __future__ import annotations

from chattmpl.errors import NotRepresentable
from chattmpl.source import Place, Source

NAME = "<text>"
_SHOWN = 40


class Refusal(Exception):
    """A reading that came to nothing, at characters ``[start, end)`` of the text."""

    def __init__(self, message: str, start: int, end: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = start + 1 if end is None else end
        self.hint = hint

    def error(self, text: str) -> NotRepresentable:
        """What the caller is told."""
        start = min(self.start, len(text))
        place = Place(Source(text, NAME), start, max(start, min(self.end, len(text))))
        return NotRepresentable(self.message, place=place, hint=self.hint)


def differs(text: str, rendered: str, start: int = 0) -> Refusal:
    """The refusal of a text that begins otherwise than what was rendered, both compared from ``start`` of the text on.

    Args:
        text: the whole text.
        rendered: what it should be from ``start`` on.
        start: where the comparison begins.
    """
    offset = common(text, rendered, start)
    theirs, ours = text[start + offset :], rendered[offset:]
    if not theirs:
        message = f"the text ends where the template goes on with {_shown(ours)}"
    elif not ours:
        message = f"the text goes on with {_shown(theirs)} where the template ends"
    else:
        message = f"the text has {_shown(theirs)} where the template writes {_shown(ours)}"
    return Refusal(message, start + offset, start + offset + max(1, min(len(theirs), _SHOWN)))


def common(text: str, rendered: str, start: int = 0) -> int:
    """The length of the longest common beginning of ``rendered`` and the text from ``start`` on."""
    low, high = 0, min(len(text) - start, len(rendered))
    while low < high:
        middle = (low + high + 1) // 2
        if text.startswith(rendered[:middle], start):
            low = middle
        else:
            high = middle - 1
    return low


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
