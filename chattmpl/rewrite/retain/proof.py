"""Whether a rewritten template does what the policy says, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.laws.law import Case, evaluate, laws_named
from chattmpl.laws.outcome import Counterexample, Holds
from chattmpl.rewrite.retain.baseline import Baseline, Mismatch
from chattmpl.rewrite.retain.turn_text import rendered
from chattmpl.template.template import Rendering, Template

LAWS = ("prefix", "sampled")


@dataclass
class Proof:
    """What was tried, and what held.

    Attributes:
        policy: what was asked for.
        modes: the kwargs that were tried, each in turn; the first are none.
        searched: how many conversations the change was looked for with.
        independent: on how many others it was checked.
        changes: how many changes were tried.
        texts: how many texts were compared: each conversation with and without generation prompt, in each mode.
        same: how many of them are as before, those that the policy does not concern among them.
        moved: in how many a trace is kept or dropped that was not before.
        refused: how many the template refuses to render, before as after.
        turns: how many turns in history were found to be as they were sampled, for the policy ``all``.
        held: how often the laws prefix and sampled were found to hold, for the policy ``all``.
        unchanged: whether the template did this already.
        notes: what else a user must know.
        diff: what was changed, as a unified diff.
        broken: for ``all``, the laws that fail for another reason than traces, each with one counterexample; not kept.
    """

    policy: str
    modes: list[dict[str, Any]] = field(default_factory=list)
    searched: int = 0
    independent: int = 0
    changes: int = 0
    texts: int = 0
    same: int = 0
    moved: int = 0
    refused: int = 0
    turns: int = 0
    held: Counter[str] = field(default_factory=Counter)
    unchanged: bool = False
    notes: list[str] = field(default_factory=list)
    diff: str = ""
    broken: dict[str, Counterexample] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("policy", "modes", "searched", "independent", "changes", "texts", "same", "moved", "refused", "turns")
        return {
            **{name: getattr(self, name) for name in names},
            "held": dict(self.held),
            "unchanged": self.unchanged,
            "notes": self.notes,
            "diff": self.diff,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Proof:
        """What `to_dict` wrote."""
        return cls(**{**data, "held": Counter(data["held"])})


@dataclass(frozen=True)
class Failure:
    """What a template does wrong, and where."""

    wrong: Mismatch
    conversation: Conversation
    kwargs: dict[str, Any]
    prompt: bool


def prove(
    before: Baseline, after: Template, tries: Iterable[tuple[Conversation, dict[str, Any]]], proof: Proof
) -> Failure | None:
    """Compare each text with what the policy wants; what held is added to the proof."""

    def render(conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Rendering | None:
        return rendered(after, conversation, kwargs, prompt)

    known = before.sampled
    for conversation, kwargs in tries:
        for prompt in (False, True):
            wrong = next(before.mismatches(render, conversation, kwargs, prompt), None)
            if wrong is not None:
                return Failure(wrong, conversation, kwargs, prompt)
            old, new = before.render(conversation, kwargs, prompt), render(conversation, kwargs, prompt)
            proof.texts += 1
            if old is None or new is None:
                proof.refused += 1
            elif old.text == new.text:
                proof.same += 1
            else:
                proof.moved += 1
        if before.policy == "all":
            _laws(after, conversation, kwargs, proof)
        proof.turns, known = proof.turns + before.sampled - known, before.sampled
    return None


def _laws(after: Template, conversation: Conversation, kwargs: dict[str, Any], proof: Proof) -> None:
    """Count the laws that hold in history; what breaks them for another reason than traces is a note."""
    known = {name: value for name, value in kwargs.items() if name in after.program.variables}
    case = Case(after, conversation, known)
    for law in laws_named(LAWS):
        outcome = evaluate(law, case)
        if isinstance(outcome, Holds):
            proof.held[law.name] += 1
        elif isinstance(outcome, Counterexample) and law.name not in proof.broken:
            proof.broken[law.name] = outcome
            note = f"{law.name} does not hold for another reason than its traces: {outcome.message}"
            proof.notes.append(note)


__all__ = ["Failure", "Proof", "prove"]
