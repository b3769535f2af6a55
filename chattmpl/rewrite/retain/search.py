"""Looking for the smallest change of terms after which a policy holds for all probes."""

from __future__ import annotations

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

MOST = 3
"""So many terms are changed at most."""

_KEPT = 4
"""So many ways that mend something are tried together with others."""

_DEAR = 3.5
"""What changes more than this, such as what tells roles apart, is tried last, though it be one term."""

_PLAIN = ("true", "false")
_WORST = 10_000


class Search:
    """The changes of one template.

    Args:
        before: the measure.
        board: the template with its terms.
        tries: conversations.

    Attributes:
        tried: how many changes were looked at.
        best: the one after which the least is wrong, and how much that is.
    """

    def __init__(self, before: Baseline, board: OverridableTemplate, tries: Iterable[Trial]) -> None:
        self._before = before
        self._board = board
        self._tries = [(one, prompt) for one in tries for prompt in (False, True)]
        self._scores: dict[Changes, int] = {}
        self.tried = 0
        self.best: tuple[int, Changes] = (_WORST, ())

    def learn(self, one: Trial) -> None:
        """One more conversation to look at."""
        self._tries[:0] = [(one, prompt) for prompt in (False, True)]
        self._scores.clear()

    def found(self) -> Iterator[Changes]:
        """Changes under which all is as it should be, the smallest first; nothing at all where that is so already."""
        base = self.score(())
        if base == 0:
            yield ()
        # What is wrong now is looked at first, so that counting ends early where a change mends nothing.
        self._tries.sort(key=lambda one: next(self._mismatches_of({}, *one), None) is None)
        singles = self._singles()
        self._board = self._board.narrowed(number for number, _ in singles)
        ranked: list[tuple[int, float, Changes]] = sorted(
            ((self.score((one,), base), self._cost((one,)), (one,)) for one in singles), key=lambda item: item[:2]
        )
        mended = sorted(((dear, changes) for score, dear, changes in ranked if score == 0), key=lambda item: item[0])
        yield from (changes for dear, changes in mended if dear <= _DEAR)
        better = [item for item in ranked if 0 < item[0] < base][:_KEPT]
        for _ in range(MOST - 1):
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
            better = sorted((item for item in pairs.values() if item[0]), key=lambda item: item[:2])[:_KEPT]

        yield from (changes for dear, changes in mended if dear > _DEAR)

    @property
    def shared(self) -> set[int]:
        """The numbers of those that see messages of others than the assistant."""
        return self._board.shared

    @property
    def terms(self) -> list[Term]:
        """The terms that changes name by number."""
        return self._board.terms

    def score(self, changes: Changes, limit: int = _WORST) -> int:
        """How much is not as it should be; counting ends at the limit."""
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
        """What is not as it should be."""
        for one, prompt in self._tries:
            yield from self._mismatches_of(dict(changes), one, prompt)

    def example(self) -> tuple[Conversation, dict[str, Any], Mismatch] | None:
        """What is still wrong after the best change."""
        for (conversation, kwargs), prompt in self._tries:
            for wrong in self._mismatches_of(dict(self.best[1]), (conversation, kwargs), prompt):
                return conversation, kwargs, wrong
        return None

    def _mismatches_of(self, changes: dict[int, str], one: Trial, prompt: bool) -> Iterator[Mismatch]:
        def render(conversation: Conversation, kwargs: dict[str, object], prompt: bool) -> Rendering | None:
            return self._board.render(changes, conversation, kwargs, prompt)

        yield from self._before.mismatches(render, *one, prompt)

    def _singles(self) -> list[Change]:
        """Changes of the terms that have a say in what is rendered of an assistant's turn."""
        found: list[Change] = []
        policy = self._before.policy
        for number, term in enumerate(self._board.terms):
            for_all = {"cut": ("true",), "content": ("false",)}.get(term.kind, _PLAIN)
            ways = [way for way in for_all if self._says((number, way))]
            if not ways:
                continue
            if policy in ("all", "none") or term.kind == "literal" or term.loop is None:
                found += [(number, way) for way in ways]
            else:
                some = {"cut": ("true", "here"), "content": ("false", "here")}
                found += [(number, way) for way in some.get(term.kind, WAYS)]
        return found

    def _says(self, change: Change) -> bool:
        """Whether a change alters an assistant's turn, and leaves the rest alone."""
        altered = False
        for (conversation, kwargs), prompt in self._tries:
            if prompt:
                continue
            old = self._before.render(conversation, kwargs, False)
            new = self._board.render(dict((change,)), conversation, kwargs, False)
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
        text = self._board.template.source
        return sum(cost(text, self._board.terms, change) for change in changes)

    def _overlap(self, changes: Changes) -> bool:
        ranges = sorted((self._board.terms[number].start, self._board.terms[number].end) for number, _ in changes)
        return any(one[1] > other[0] for one, other in pairwise(ranges))


__all__ = ["Changes", "Search"]
