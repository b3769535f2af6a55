"""The errors of the library. Each says what is wrong, where (a place with a caret) and what to do about it (a hint)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from chattmpl.source import Place


class ChatTmplError(Exception):
    """The root of all errors that chattmpl raises on purpose.

    Args:
        message: what is wrong, in one sentence without a full stop.
        place: where, if there is a text to point into.
        hint: the way out.
    """

    def __init__(self, message: str, *, place: Place | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.place is not None:
            lines[0] = f"{self.place}: {self.message}"
            lines.append(self.place.excerpt())
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class TemplateError(ChatTmplError):
    """A template that cannot be compiled: its syntax, its tags, or a policy that it has no place for."""


class RenderError(ChatTmplError):
    """A template that compiled but could not render this conversation, or that refused it (``raise_exception``)."""


class BudgetError(RenderError):
    """A template that ran or grew past the budget of a render."""


class ConversationError(ChatTmplError):
    """A conversation, or a file of them, that cannot be read as one."""


class EncodeError(ChatTmplError):
    """A rendering that cannot be encoded as asked: a straddle, a control token in a message, an unusable tokenizer."""


class FamilyError(ChatTmplError):
    """A family's folder that is missing, incomplete or contradicts itself."""


class NotRepresentable(ChatTmplError):
    """A text that cannot be parsed into a conversation that renders to the same text again."""


class UsageError(ChatTmplError):
    """A call or a command line that asks for something that does not exist."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str | None:
    """``did you mean 'content'?`` where one of the known names is close to the wrong one, else None."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None
