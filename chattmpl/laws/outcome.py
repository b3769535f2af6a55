"""Outcomes of checking a law on a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

from chattmpl.conversation.models import Conversation
from chattmpl.diagnostic import Severity, without_indices
from chattmpl.source import Place


@dataclass(frozen=True)
class Holds:
    """The law holds for this conversation."""


@dataclass(frozen=True)
class DoesNotApply:
    """The law says nothing about this conversation or this template.

    Attributes:
        why: the reason, for people.
        rendered: whether the template renders the conversation at all.
    """

    why: str
    rendered: bool = True


@dataclass(frozen=True)
class NotEvaluated:
    """The law could not be checked, which is never the same as fine.

    Attributes:
        why: the reason, for people.
        missing: what has to be provided to check it: ``tokenizer``, ``engine``, or nothing that is known.
    """

    why: str
    missing: Literal["tokenizer", "engine", ""] = ""


@dataclass(frozen=True)
class Counterexample:
    """A conversation for which the law does not hold.

    Attributes:
        law: the law's name.
        message: what is wrong, in one sentence. For people only.
        conversation, kwargs: what to render to see it.
        expected, got: the two texts that differ, if the law compares texts.
        place: the place in the template to blame, if known.
        hint: how to fix it. For people only.
        field: the kind of field concerned, such as ``messages[].tool_calls[].id``, if any.
        sites: words for places of the template and kinds of fields; counterexamples of different laws that share one
            have the same cause.
        kind: which of the law's problems it is, as a fixed word.
        path: the field concerned, such as ``messages[1].content``, if any.
        turns: indices of the messages concerned.
        data: the values that message and hint are made from.
        severity: that of the law.
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
    kind: str = ""
    path: str | None = None
    turns: tuple[int, ...] = ()
    data: Mapping[str, Any] = dataclass_field(default_factory=dict)
    severity: Severity = "error"

    @property
    def problem(self) -> tuple[str, str, str]:
        """The identity of the problem in any conversation: the law, the kind, and the field without its indices."""
        return self.law, self.kind, without_indices(self.path)

    @property
    def difference(self) -> int | None:
        """The offset of the first character in which the two texts differ; None if there are no two texts."""
        if self.expected is None or self.got is None:
            return None
        return first_difference(self.expected, self.got)

    def to_dict(self) -> dict[str, Any]:
        """Return the counterexample as JSON types."""
        return {
            "law": self.law,
            "message": self.message,
            "conversation": self.conversation.dump(),
            "kwargs": self.kwargs,
            "expected": self.expected,
            "got": self.got,
            "difference": self.difference,
            "kind": self.kind,
            "data": dict(self.data),
        }


def first_difference(left: Sequence[object], right: Sequence[object]) -> int:
    """Return the index of the first different item or character; the shorter length if one begins with the other."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(left), len(right)))


Outcome = Holds | DoesNotApply | NotEvaluated | Counterexample
