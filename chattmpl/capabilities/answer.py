"""What a probe can say: yes, partly, no, or that it could not be evaluated, each with the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from chattmpl.errors import ChatTmplError, Reason

State = Literal["yes", "partly", "no", "unknown"]


@dataclass(frozen=True)
class Answer:
    """What was found about one capability.

    Attributes:
        state: what was found; ``unknown`` where it could not be evaluated, which is never the same as ``no``.
        note: the evidence in a few words.
        facts: more that was found, as JSON types; each capability has its own keys, see docs/inspect.md.
    """

    state: State
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> bool | None:
        """True for yes and partly, False for no, None for unknown."""
        return None if self.state == "unknown" else self.state != "no"

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {"answer": self.state, "note": self.note, **self.facts}


def raised(error: ChatTmplError) -> str:
    """An error in a few words."""
    told = error.complaint if error.reason in (Reason.REFUSED, Reason.FAILED) else error.message
    return shortened(" ".join(told.split()))


def refuses(error: ChatTmplError) -> bool:
    """Whether the template itself raised the error, on purpose."""
    return error.reason is Reason.REFUSED


def from_error(error: ChatTmplError) -> Answer:
    """No, where a template refuses a conversation; where it fails for another reason, that is not evaluated."""
    if refuses(error):
        return Answer("no", f"refused: {raised(error)}")
    return Answer("unknown", f"raises: {raised(error)}")


def shortened(text: str, width: int = 100) -> str:
    """A text of at most this many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
