"""Search for the smallest change of terms that yields a policy on all probes."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.rewrite.proof import Trial
from chattmpl.rewrite.retain.baseline import Baseline, Mismatch
from chattmpl.rewrite.retain.condition_edits import cost
from chattmpl.rewrite.retain.overridable_template import WAYS, Change, OverridableTemplate
from chattmpl.rewrite.retain.terms import Term
from chattmpl.rewrite.retain.turn_text import turn_text
from chattmpl.template.template import Rendering

Changes = tuple[Change, ...]

_MAX_TERMS = 3
"""Largest number of terms that one candidate changes."""

_BEAM = 4
"""Number of partial improvements that are combined with further changes."""

_EXPENSIVE = 3.5
"""Cost from which on a change of one term is tried last, such as a change of a test of the role."""

_CONSTANTS = ("true", "false")
_WORST = 10_000


class ChangeSearch:
    """The search for changes of one template.

    Attributes:
        tried: number of changes that were scored.
        best: the lowest score, and the change that has it.
    """

    def __init__(self, baseline: Baseline, template: OverridableTemplate, trials: Iterable[Trial]) -> None:
        self._baseline = baseline
        self._template = template
        self._trials = [(one, prompt) for one in trials for prompt in (False, True)]
        self._scores: dict[Changes, int] = {}
        self.tried = 0
        self.best: tuple[int, Changes] = (_WORST, ())

    def learn(self, one: Trial) -> None:
        """Add a conversation that a change must hold for."""
        self._trials[:0] = [(one, prompt) for prompt in (False, True)]
        self._scores.clear()

    def candidates(self) -> Iterator[Changes]:
        """Yield changes without a mismatch, the smallest first; the first is empty if the policy holds already."""
        base = self.score(())
        if base == 0:
            yield ()
        # Trials that fail now come first, so that scoring ends early where a change improves nothing.
        self._trials.sort(key=lambda one: next(self._mismatches_of({}, *one), None) is None)
        singles = self._singles()
        self._template = self._template.narrowed(number for number, _ in singles)
        ranked: list[tuple[int, float, Changes]] = sorted(
            ((self.score((one,), base), self._cost((one,)), (one,)) for one in singles), key=lambda item: item[:2]
        )
        complete = sorted(((cost, changes) for score, cost, changes in ranked if score == 0), key=lambda item: item[0])
        yield from (changes for cost, changes in complete if cost <= _EXPENSIVE)
        better = [item for item in ranked if 0 < item[0] < base][:_BEAM]
        for _ in range(_MAX_TERMS - 1):
            pairs: dict[Changes, tuple[int, float, Changes]] = {}
            for before, _, changes in better:
                taken = {number for number, _ in changes}
                for one in singles:
                    joint = tuple(sorted((*changes, one)))
                    if one[0] in taken or joint in pairs or self._overlap(joint):
                        continue
                    score = self.score(joint, before)
                    if score < before:
                        pairs[joint] = (score, self._cost(joint), joint)
            yield from (item[2] for item in sorted(pairs.values(), key=lambda item: item[1]) if item[0] == 0)
            better = sorted((item for item in pairs.values() if item[0]), key=lambda item: item[:2])[:_BEAM]

        yield from (changes for cost, changes in complete if cost > _EXPENSIVE)

    @property
    def shared(self) -> set[int]:
        """Indices of the terms that are evaluated for messages of other roles than the assistant."""
        return self._template.shared

    @property
    def terms(self) -> list[Term]:
        """The terms that changes refer to by index."""
        return self._template.terms

    def score(self, changes: Changes, limit: int = _WORST) -> int:
        """Return the number of mismatches; counting stops at the limit."""
        if changes in self._scores:
            return self._scores[changes]
        self.tried += 1
        count = 0
        for _ in self.mismatches(changes):
            count += 1
            if count >= limit:
                return count
        self._scores[changes] = count
        self.best = min(self.best, (count, changes), key=lambda item: item[0])
        return count

    def mismatches(self, changes: Changes) -> Iterator[Mismatch]:
        """Yield the mismatches under changes."""
        for one, prompt in self._trials:
            yield from self._mismatches_of(dict(changes), one, prompt)

    def example(self) -> tuple[Conversation, dict[str, Any], Mismatch] | None:
        """Return a mismatch that is left under the best change, and its conversation and kwargs."""
        for (conversation, kwargs), prompt in self._trials:
            for wrong in self._mismatches_of(dict(self.best[1]), (conversation, kwargs), prompt):
                return conversation, kwargs, wrong
        return None

    def _mismatches_of(self, changes: dict[int, str], one: Trial, prompt: bool) -> Iterator[Mismatch]:
        def render(conversation: Conversation, kwargs: dict[str, object], prompt: bool) -> Rendering | None:
            return self._template.render(changes, conversation, kwargs, prompt)

        yield from self._baseline.mismatches(render, *one, prompt)

    def _singles(self) -> list[Change]:
        """Return changes of the terms that affect the assistant's turns."""
        found: list[Change] = []
        policy = self._baseline.policy
        for number, term in enumerate(self._template.terms):
            for_all = {"cut": ("true",), "content": ("false",)}.get(term.kind, _CONSTANTS)
            ways = [way for way in for_all if self._affects_answers_only((number, way))]
            if not ways:
                continue
            if policy in ("all", "none") or term.kind == "literal" or term.loop is None:
                found += [(number, way) for way in ways]
            else:
                some = {"cut": ("true", "here"), "content": ("false", "here")}
                found += [(number, way) for way in some.get(term.kind, WAYS)]
        return found

    def _affects_answers_only(self, change: Change) -> bool:
        """Return whether a change alters an assistant turn and no other."""
        altered = False
        for (conversation, kwargs), prompt in self._trials:
            if prompt:
                continue
            old = self._baseline.render(conversation, kwargs, False)
            new = self._template.render(dict((change,)), conversation, kwargs, False)
            if old is None or new is None:
                if (old is None) != (new is None):
                    return False
                continue
            if old.text == new.text:
                continue
            for index, message in enumerate(conversation.messages):
                same = turn_text(old, index).text == turn_text(new, index).text
                if message.role == "assistant":
                    altered = altered or not same
                elif not same:
                    return False
        return altered

    def _cost(self, changes: Changes) -> float:
        return sum(cost(self._template.terms, change) for change in changes)

    def _overlap(self, changes: Changes) -> bool:
        ranges = sorted((self._template.terms[number].start, self._template.terms[number].end) for number, _ in changes)
        return any(one[1] > other[0] for one, other in pairwise(ranges))
