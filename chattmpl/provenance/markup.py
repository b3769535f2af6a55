"""Strings marked as safe HTML (``|safe``, ``|escape``), which escape whatever is added to them, with origins followed.

Templates of chats are not HTML, but some on the hub use these filters, and ``"…"|safe + text`` escapes the text.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from chattmpl.provenance.serialize import to_text
from chattmpl.provenance.text import Traced, concat, derive, make, runs_of


class TracedMarkup(Markup):
    """What ``|safe`` makes of a string. What its other methods compute has lost its way and counts as derived."""

    _origin: Any

    def __add__(self, other: Any) -> Any:
        if not (isinstance(other, str) or hasattr(other, "__html__")):
            return NotImplemented
        return marked(concat((_unmarked(self), _unmarked(escaped(other)))))

    def __radd__(self, other: Any) -> Any:
        if not (isinstance(other, str) or hasattr(other, "__html__")):
            return NotImplemented
        return marked(concat((_unmarked(escaped(other)), _unmarked(self))))

    def __mod__(self, values: Any) -> Any:
        text = super().__mod__(values)
        return marked(derive(text, (self, *(values if isinstance(values, tuple) else (values,)))))


def marked(value: Any) -> Markup:
    """The text of a value, as it is, taken for safe."""
    text = to_text(value)
    markup = TracedMarkup(text)
    markup._origin = text._origin if type(text) is Traced else None
    return markup


def escaped(value: Any) -> Markup:
    """The text of a value with the characters of HTML escaped, unless it is safe already."""
    if isinstance(value, TracedMarkup):
        return value
    if hasattr(value, "__html__"):
        return escape(value)
    text = to_text(value)
    pieces: list[str] = []
    position = 0
    for length, origin, statement in runs_of(text):
        written = str(escape(str.__getitem__(text, slice(position, position + length))))
        pieces.append(make(written, ((len(written), origin, statement),)))
        position += length
    return marked(concat(pieces))


def _unmarked(markup: Markup) -> str:
    return make(str.__getitem__(markup, slice(None)), runs_of(markup))
