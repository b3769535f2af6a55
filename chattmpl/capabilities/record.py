"""What was found about one template, as a record and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chattmpl.capabilities.answer import Answer

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
"""The capabilities that families declare too, under these names."""

ANSWERS = (*FLAGS, "late_system", "alternation", "retention", "prefix_preserving", "mask")
"""All that is answered with yes, partly, no or unknown."""


@dataclass
class Capabilities:
    """What a template can do.

    Attributes:
        name: a short name: of the family, or of the file.
        file: where the template was found.
        family: the name of the family, if it is one.
        error: why it could not be compiled; nothing else is known then.
        answers: what was found about each of `ANSWERS`.
        modes: kwargs that switch what is rendered, and those that are printed, as JSON.
        generation_prompt: what ``add_generation_prompt`` appends.
        generation_prompts: what it appends in other modes.
        prefill: the part of the generation prompt that opens, or closes, reasoning.
        stop_tokens: what ends an assistant turn.
        bos: the BOS token that the template writes.
        needs: what must be beside the messages, or nothing is rendered: ``tools`` or ``documents``.
        why: why not even a question could be rendered.
        parsers: see `chattmpl.capabilities.parsers.parsers`.
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
        """What was found about one of `ANSWERS`."""
        return self.answers.get(name, Answer("unknown"))

    @property
    def retention(self) -> str | None:
        """The policy, ``other``, ``drops reasoning``, ``no reasoning``, or None where it is not known."""
        answer = self.answer("retention")
        if answer.state == "unknown":
            return None
        policy: str = answer.facts.get("policy", answer.note)
        return policy

    @property
    def not_evaluated(self) -> list[dict[str, str]]:
        """What could not be evaluated, and why."""
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
        """The record as JSON; docs/inspect.md says what the keys mean."""
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
            "prefix_preserving": _whole(self.answer("prefix_preserving")),
            "prefix_exceptions": self.answer("prefix_preserving").facts.get("exceptions", []),
            "mask": self.answer("mask").facts,
            "parsers": self.parsers,
            "details": {name: self.answer(name).to_dict() for name in ANSWERS},
            "not_evaluated": self.not_evaluated,
        }


def _whole(answer: Answer) -> bool | None:
    """True only where there is no exception."""
    return None if answer.state == "unknown" else answer.state == "yes"
