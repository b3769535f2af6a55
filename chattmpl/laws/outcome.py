"""What checking a law on a conversation can say: never a bare yes or no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.source import Place, Source


@dataclass(frozen=True)
class Holds:
    """The law holds for this conversation."""


@dataclass(frozen=True)
class DoesNotApply:
    """The law says nothing about this conversation or this template."""

    why: str


@dataclass(frozen=True)
class NotEvaluated:
    """The law could not be checked, which is never the same as fine."""

    why: str


@dataclass(frozen=True)
class Counterexample:
    """A conversation for which the law does not hold.

    Attributes:
        law: the law's name.
        message: what is wrong, in one sentence.
        conversation, kwargs: what to render to see it.
        expected, got: the two texts that differ, if the law compares texts.
        place: the place in the template that is to blame, if that is known.
        hint: the way out.
        field: the kind of field that is concerned, such as ``messages[].tool_calls[].id``, where one is.
        sites: what it can share with counterexamples of other laws that have the same cause: places of the template
            and kinds of fields, as words.
    """

    law: str
    message: str
    conversation: Conversation
    kwargs: dict[str, Any]
    expected: str | None = None
    got: str | None = None
    place: Place | None = None
    hint: str | None = None
    field: str | None = None
    sites: frozenset[str] = frozenset()

    @property
    def difference(self) -> int | None:
        """Offset of the first character in which the two texts differ; None where there are no two texts."""
        if self.expected is None or self.got is None:
            return None
        return first_difference(self.expected, self.got)

    def excerpts(self) -> tuple[str, str] | None:
        """Both texts around the first difference, each with a caret."""
        at = self.difference
        if at is None:
            return None
        return _excerpt(self.expected or "", at, "expected"), _excerpt(self.got or "", at, "got")

    def to_dict(self) -> dict[str, Any]:
        """The counterexample as JSON."""
        return {
            "law": self.law,
            "message": self.message,
            "conversation": self.conversation.dump(),
            "kwargs": self.kwargs,
            "expected": self.expected,
            "got": self.got,
            "difference": self.difference,
        }


def first_difference(left: str, right: str) -> int:
    """Offset of the first character in which two texts differ; the length of the shorter one if it begins the other."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(left), len(right)))


Outcome = Holds | DoesNotApply | NotEvaluated | Counterexample


def _excerpt(text: str, at: int, name: str) -> str:
    excerpt = Place(Source(text or " ", name), min(at, len(text)), min(at, len(text)) + 1).excerpt()
    return f"{name}:\n{excerpt}"
