"""Refusals of a parse: the reason, and the characters of the text that it concerns."""

from enum import StrEnum

from chattmpl.errors import NotRepresentable
from chattmpl.printable import shortened
from chattmpl.source import Place, Source, common_length

_NAME = "<text>"
_MAX_SHOWN = 40


class ParseFailure(StrEnum):
    """The reasons why a text cannot be parsed."""

    DIFFERS = "differs"
    """The text differs from what the template renders."""
    NOT_RENDERED = "not-rendered"
    """The template cannot render the parsed conversation."""
    NOT_A_CONVERSATION = "not-a-conversation"
    """The parsed messages are not a valid conversation."""
    BEGINNING = "beginning"
    """No rendering of the template starts like the text."""
    NO_TURN = "no-turn"
    """No turn starts at this position."""
    TURN_FORMAT = "turn-format"
    """A turn is not in the format of its role."""
    UNCLOSED = "unclosed"
    """A turn is not closed."""
    TRACE_FORMAT = "trace-format"
    """A reasoning trace is not in the family's format."""
    CALL_FORMAT = "call-format"
    """A tool call is not in the family's format."""
    REPLY_FORMAT = "reply-format"
    """A reply is neither an answer nor a tool call."""
    RESULT_FORMAT = "result-format"
    """A tool result is neither text nor a list of parts."""
    PROMPT = "prompt"
    """The template does not start such a turn with its generation prompt."""
    AFTER_STOP = "after-stop"
    """The text continues after a stop token."""


class ParseRefusal(Exception):
    """A failed attempt to parse, at characters ``[start, end)`` of the text."""

    def __init__(
        self, reason: ParseFailure, message: str, start: int, end: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.start = start
        self.end = start + 1 if end is None else end
        self.hint = hint

    def error(self, text: str) -> NotRepresentable:
        """Return the error to raise for the caller of the parser."""
        start = min(self.start, len(text))
        place = Place(Source(text, _NAME), start, max(start, min(self.end, len(text))))
        return NotRepresentable(self.message, place=place, hint=self.hint, reason=self.reason)


def later(refusal: ParseRefusal | None, other: ParseRefusal) -> ParseRefusal:
    """Return the refusal further into the text, which explains more; the first of two at the same position."""
    return other if refusal is None or other.start > refusal.start else refusal


def difference(text: str, rendered: str, start: int = 0) -> ParseRefusal:
    """Return the refusal of a text that differs, from a character offset on, from what the template renders there."""
    offset = common_length(text, rendered, start)
    actual, expected = text[start + offset :], rendered[offset:]
    if not actual:
        message = f"the text ends where the template continues with {_shown(expected)}"
    elif not expected:
        message = f"the text continues with {_shown(actual)} where the template ends"
    else:
        message = f"the text has {_shown(actual)} where the template writes {_shown(expected)}"
    return ParseRefusal(
        ParseFailure.DIFFERS, message, start + offset, start + offset + max(1, min(len(actual), _MAX_SHOWN))
    )


def _shown(text: str) -> str:
    return repr(shortened(text, _MAX_SHOWN))
