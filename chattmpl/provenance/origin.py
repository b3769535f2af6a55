"""Where characters came from, and which statement of the template wrote them."""

from __future__ import annotations

from typing import TypeAlias


class Origin:
    """Where characters came from. Compared by identity: each leaf of a conversation has one origin object.

    Attributes:
        message: index of the message, or None for tools, documents, kwargs and what is not known.
        field: path of the field within the message (``content``, ``tool_calls[0].function.name``), or from the
            conversation on where there is no message (``tools[0].function.name``); None where it is not known.
        derived: the characters were computed from the field, not copied from it.
        sources: the origins that a derived one was computed from.
    """

    __slots__ = ("derived", "field", "message", "sources")

    def __init__(
        self, message: int | None, field: str | None, derived: bool = False, sources: tuple[Origin, ...] = ()
    ) -> None:
        self.message = message
        self.field = field
        self.derived = derived
        self.sources = sources

    def path(self) -> str:
        """The path from the conversation on: ``messages[1].content``."""
        if self.message is None:
            return self.field or ""
        return f"messages[{self.message}].{self.field}" if self.field else f"messages[{self.message}]"

    def __repr__(self) -> str:
        return f"<{'derived from ' if self.derived else ''}{self.path() or 'an unknown field'}>"


REBUILT = -1
"""The message of a `Turn` that the template made itself, of one of the conversation's or of several."""


class Turn(Origin):
    """The origin of a run without characters that says: from here on, this message is being rendered."""

    __slots__ = ()


class Statement:
    """A place in the template that writes text: an output tag, or the plain text between two tags.

    Attributes:
        offset: where it stands in the compiled source, in characters.
        line: its line there, from 1.
        generated: whether it stands inside a generation tag.
        sampled: the same statement seen from inside a generation tag.
    """

    __slots__ = ("generated", "line", "offset", "sampled")

    def __init__(self, offset: int, line: int, generated: bool) -> None:
        self.offset = offset
        self.line = line
        self.generated = generated
        self.sampled: Statement = self if generated else Statement(offset, line, True)


Run: TypeAlias = "tuple[int, Origin | None, Statement | None]"
"""A number of characters, where they came from (None: the template's own text), and the statement that wrote them."""
