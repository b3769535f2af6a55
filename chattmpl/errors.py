"""The errors of chattmpl: a place, a cause as data, and a message and a hint for people."""

import difflib
from collections.abc import Iterable
from enum import StrEnum

from chattmpl.printable import one_line
from chattmpl.source import Place


class Reason(StrEnum):
    """The cause of an error, if its class does not determine it."""

    REFUSED = "refused"
    """The template called ``raise_exception``."""
    UNDEFINED = "undefined"
    """The template uses an undefined value."""
    SANDBOX = "sandbox"
    """The template does what the sandbox forbids."""
    NO_LOADER = "no-loader"
    """The template includes, imports or extends another."""
    FAILED = "failed"
    """Any other exception while rendering."""
    STEPS = "steps"
    """The template ran for too many steps."""
    SIZE = "size"
    """The template created a value that is too large."""
    DEPTH = "depth"
    """The template nests or recurses too deeply."""
    TIME = "time"
    """The template ran for too long."""
    NO_TEMPLATE = "no-template"
    """The file, folder or name holds no chat template."""
    MEMORY = "memory"
    """The template needs more memory than is available."""


TRANSIENT = frozenset((Reason.TIME, Reason.MEMORY))
"""The causes that depend on the machine and its load, not only on the input."""


class ChatTmplError(Exception):
    """The base class of all errors that chattmpl raises on purpose.

    Args:
        message: the problem, in one sentence without a full stop; for people only.
        place: the position in a source, if the error has one.
        hint: how to fix it; for people only.
        reason: the cause, if the class of the error does not determine it.
        complaint: the message of another program, such as Jinja2 or an engine, or of ``raise_exception``.
        option: the name of the option or setting that is wrong.
        family: the family whose template the hint suggests.
    """

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        hint: str | None = None,
        reason: StrEnum | None = None,
        complaint: str = "",
        option: str | None = None,
        family: str | None = None,
    ) -> None:
        # What a template or another program says may hold line breaks, after which a log would read commands.
        message = one_line(message) if "\n" in message or "\r" in message else message
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint
        self.reason = reason
        self.complaint = complaint
        self.option = option
        self.family = family

    @property
    def cause(self) -> tuple[str, str, str]:
        """The identity of the cause, by which errors are grouped: class, reason and complaint."""
        return type(self).__name__, self.reason or "", self.complaint

    def __str__(self) -> str:
        lines = [self.message]
        if self.place is not None:
            lines[0] = f"{self.place}: {self.message}"
            lines.append(self.place.excerpt())
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class TemplateError(ChatTmplError):
    """A template that cannot be compiled: a syntax error, a misplaced tag, or an unsupported retention policy."""


class RenderError(ChatTmplError):
    """A template that fails to render a conversation, or rejects it with ``raise_exception``."""


class BudgetError(RenderError):
    """A render that exceeded its budget."""


class RunawayError(BudgetError):
    """A template that exceeded its budget on row after row: an error of the whole job, not of one row."""


class ConversationError(ChatTmplError):
    """A conversation, or a file of conversations, that is invalid or cannot be read."""


class EncodeError(ChatTmplError):
    """A rendering that cannot be encoded: a refused straddle or control token, or an unusable tokenizer."""


class FamilyError(ChatTmplError):
    """A family folder that is missing, incomplete or inconsistent."""


class NotRepresentable(ChatTmplError):
    """A text that no conversation renders to, or none that the parser found."""


class UsageError(ChatTmplError):
    """An invalid argument or option."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str | None:
    """Return a hint such as ``did you mean 'content'?`` if a known name is similar to the wrong one, else None."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def decode(data: bytes, name: object, error: type[ChatTmplError]) -> str:
    """Decode the UTF-8 contents of a file.

    Raises:
        ChatTmplError: of the given class, if it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as found:
        raise error(f"{name} is not UTF-8: {found.reason} at byte {found.start}") from None
