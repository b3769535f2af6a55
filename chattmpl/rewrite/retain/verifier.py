"""Checks of a rewritten template: it does what the policy says, and nothing else."""

from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.laws.law import Case, evaluate, laws_named
from chattmpl.laws.outcome import Counterexample, Holds
from chattmpl.rewrite.proof import Failure, FailureKind, Note, Proof, ProofNoteKind
from chattmpl.rewrite.retain.baseline import Baseline, Mismatch
from chattmpl.rewrite.retain.turn_text import render_or_none
from chattmpl.template.template import Rendering, Template

LAWS = ("prefix", "sampled")
"""The laws that the policy ``all`` makes hold in history."""


@dataclass
class RetentionProof(Proof):
    """Record of the checks of a template under another policy.

    Attributes:
        changes: number of changes that were tried.
        same: number of unchanged texts, including those that the policy does not concern.
        moved: number of texts in which other traces are kept than before.
        turns: for the policy ``all``, number of turns in history that are rendered as they were sampled.
        unchanged: whether the template followed the policy already.
        broken: for the policy ``all``, a counterexample of each law that fails for a reason other than traces.
    """

    policy: str = ""
    changes: int = 0
    same: int = 0
    moved: int = 0
    turns: int = 0
    unchanged: bool = False
    broken: dict[str, Counterexample] = field(default_factory=dict, repr=False, compare=False, metadata={"json": False})


class RetentionVerifier:
    """Comparison of each text with the one that the policy requires.

    Args:
        baseline: the template before the change.
        after: the template after it.
    """

    def __init__(self, baseline: Baseline, after: Template) -> None:
        self._baseline = baseline
        self._after = after
        self._rendered: dict[tuple[str, bool], Rendering | None] = {}

    def check(self, conversation: Conversation, kwargs: dict[str, Any], proof: RetentionProof) -> Failure | None:
        """Check one conversation, and add the results to the proof."""
        baseline = self._baseline
        sampled = baseline.sampled
        for prompt in (False, True):
            mismatch = next(baseline.mismatches(self._render, conversation, kwargs, prompt), None)
            if mismatch is not None:
                return Failure(FailureKind.TEXT, counterexample(mismatch, baseline.policy, conversation, kwargs))
            old, new = baseline.render(conversation, kwargs, prompt), self._render(conversation, kwargs, prompt)
            proof.texts += 1
            if old is None or new is None:
                proof.refused += 1
            elif old.text == new.text:
                proof.same += 1
            else:
                proof.moved += 1
        if baseline.policy == "all":
            self._check_laws(conversation, kwargs, proof)
        proof.turns += baseline.sampled - sampled
        return None

    def _render(self, conversation: Conversation, kwargs: dict[str, Any], prompt: bool) -> Rendering | None:
        key = f"{self._baseline.keys.of(conversation)}{kwargs}", prompt
        if key not in self._rendered:
            self._rendered[key] = render_or_none(self._after, conversation, kwargs, prompt)
        return self._rendered[key]

    def _check_laws(self, conversation: Conversation, kwargs: dict[str, Any], proof: RetentionProof) -> None:
        """Count the laws that hold in history; one that fails has a reason other than traces, and is noted."""
        case = Case(self._after, conversation, self._after.program.read_of(kwargs))
        for law in laws_named(LAWS):
            outcome = evaluate(law, case)
            if isinstance(outcome, Holds):
                proof.held[law.name] += 1
            elif isinstance(outcome, Counterexample) and law.name not in proof.broken:
                proof.broken[law.name] = outcome
                text = f"{law.name} does not hold, for a reason other than traces: {outcome.message}"
                proof.notes.append(Note(ProofNoteKind.LAW_BROKEN, text))


def counterexample(
    mismatch: Mismatch, policy: str, conversation: Conversation, kwargs: dict[str, Any]
) -> Counterexample:
    """Return a mismatch as a counterexample to a policy."""
    texts = (mismatch.expected or None, mismatch.got or None)
    return Counterexample(f"retention {policy}", mismatch.what, conversation, kwargs, *texts)
