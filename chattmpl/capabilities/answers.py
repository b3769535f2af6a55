"""The record of one inspected template, and its JSON."""

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["yes", "partly", "no", "unknown"]

FLAGS = (
    "system",
    "developer",
    "tools",
    "tool_calls",
    "parallel_tool_calls",
    "tool_results",
    "reasoning",
    "documents",
    "multimodal",
)
"""The capabilities that families declare too."""

ANSWERS = (*FLAGS, "late_system", "alternation", "retention", "prefix_preserving", "mask")
"""The names of all answers."""


@dataclass(frozen=True)
class Answer:
    """The answer about one capability.

    Attributes:
        state: the answer; ``unknown`` where it could not be evaluated, which is never the same as ``no``.
        note: the evidence in a few words.
        facts: more facts as JSON types; docs/how-to/inspect.md lists the keys of each capability.
    """

    state: State
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> bool | None:
        """True for yes and partly, False for no, None for unknown."""
        return None if self.state == "unknown" else self.state != "no"

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON types."""
        return {"answer": self.state, "note": self.note, **self.facts}


@dataclass
class Capabilities:
    """The capabilities of a template.

    Attributes:
        name: a short name: of the family, or of the file.
        file: the path of the template.
        error: the error that kept it from being compiled; nothing else is known then.
        modes: the template kwargs by name, as JSON types.
        generation_prompt: the text that ``add_generation_prompt`` appends.
        generation_prompts: the text that it appends in other modes.
        prefill: the part of the generation prompt that opens or closes reasoning.
        stop_tokens: the tokens that end an assistant turn.
        bos: the BOS token that the template writes.
        needs: the key that must accompany the messages for anything to be rendered: ``tools`` or ``documents``.
        why: the reason if not even a question can be rendered.
        parsers: the parsers of serving engines by engine and kind.
        also_not_evaluated: names and reasons of other things that could not be evaluated.
    """

    name: str
    file: str
    family: str | None = None
    error: str | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    modes: dict[str, dict[str, Any]] = field(default_factory=dict)
    generation_prompt: str | None = None
    generation_prompts: dict[str, str] = field(default_factory=dict)
    prefill: str | None = None
    stop_tokens: list[str] | None = None
    bos: str | None = None
    parsers: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    why: str | None = None
    also_not_evaluated: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, name: str) -> Answer:
        """Return the answer for a name of `ANSWERS`."""
        return self.answers.get(name, Answer("unknown"))

    @property
    def retention(self) -> str | None:
        """The policy, ``other``, ``drops reasoning`` or ``no reasoning``; None if it is not known."""
        answer = self.answer("retention")
        if answer.state == "unknown":
            return None
        policy: str | None = answer.facts.get("policy")
        return policy

    @property
    def not_evaluated(self) -> list[dict[str, str]]:
        """The things that could not be evaluated, with reasons."""
        unknown = [(name, self.answer(name).note) for name in ANSWERS if self.answer(name).state == "unknown"]
        if self.generation_prompt is None:
            unknown.append(("generation_prompt", ""))
        if self.stop_tokens is None:
            unknown.append(("stop_tokens", self.error or self.why or "no assistant turn could be rendered"))
        unknown += self.also_not_evaluated
        return [
            {"what": name, "why": why or self.error or self.why or "nothing could be rendered"} for name, why in unknown
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON types; docs/how-to/inspect.md explains the keys."""
        prefix = self.answer("prefix_preserving")
        return {
            "name": self.name,
            "file": self.file,
            "family": self.family,
            "error": self.error,
            "needs": list(self.needs),
            **{name: self.answer(name).value for name in FLAGS},
            "late_system": self.answer("late_system").value,
            "alternation": self.answer("alternation").value,
            "retention": self.retention,
            "modes": {name: mode for name, mode in self.modes.items() if mode["kind"] in ("switch", "choice")},
            "kwargs": {name: mode for name, mode in self.modes.items() if mode["kind"] not in ("switch", "choice")},
            "generation_prompt": self.generation_prompt,
            "generation_prompts": self.generation_prompts,
            "prefill": self.prefill,
            "stop_tokens": self.stop_tokens,
            "bos": self.bos,
            # True only without exceptions.
            "prefix_preserving": prefix.value and prefix.state == "yes",
            "prefix_exceptions": prefix.facts.get("exceptions", []),
            "mask": self.answer("mask").facts,
            "parsers": self.parsers,
            "details": {name: self.answer(name).to_dict() for name in ANSWERS},
            "not_evaluated": self.not_evaluated,
        }
