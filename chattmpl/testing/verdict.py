"""The outcome of a law on a conversation, over all modes of the template."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws import Case, Counterexample, Law, NotEvaluated
from chattmpl.laws.checker import cases_of, declared_defect, declared_limit, settings_to_check
from chattmpl.laws.law import evaluate_all
from chattmpl.laws.outcome import DoesNotApply, Outcome
from chattmpl.laws.root_causes import RootCause
from chattmpl.laws.settings import read_settings
from chattmpl.laws.shrink import cause, shrink
from chattmpl.printable import shortened
from chattmpl.template.template import Rendering, Template

_KEPT = 64
"""Limit of the conversations whose renderings are kept for the next law."""

_LONGEST = 80
"""Limit of the characters of a declaration; ``chattmpl families NAME`` prints the whole text."""

Word = Literal["holds", "does not apply", "not evaluated", "declared", "noted", "broken"]
_GRAVEST: tuple[Word, ...] = ("broken", "declared", "not evaluated", "noted", "holds", "does not apply")


@dataclass(frozen=True)
class Judgement:
    """The outcome of a law.

    Attributes:
        word: the gravest outcome of all modes and causes.
        why: the reason, unless the law holds.
        found: for each cause, the counterexample that was found and the smallest one.
    """

    word: Word
    why: str = ""
    found: tuple[tuple[Counterexample, Counterexample], ...] = ()


class Judge:
    """The check of laws on one template. Laws share renderings, and each cause is minimized once.

    Args:
        tokenizer: tokenizer for the laws about tokens.
    """

    def __init__(self, template: Template, tokenizer: Any = None) -> None:
        self.template = template
        self.tokenizer = tokenizer
        self._modes: list[dict[str, Any]] | None = None
        self._cases: dict[int, list[Case]] = {}
        self._smallest: dict[tuple[Any, ...], Counterexample] = {}
        self._shown_by: dict[tuple[Any, ...], str] = {}
        self._renders: bool | None = None
        self._accept = read_settings(Path.cwd()).accept

    def judge(self, law: Law, conversation: Conversation) -> Judgement:
        """Check a law in each mode of the template, as ``chattmpl check`` does."""
        judged = [
            self._judged(law, outcome, case)
            for case in self._cases_of(conversation)
            for outcome in evaluate_all(law, case)
        ]
        word = next(word for word in _GRAVEST if any(each.word == word for each in judged))
        those = [each for each in judged if each.word == word]
        causes = {cause(found[0]): found for each in those for found in each.found}
        return Judgement(word, those[0].why, tuple(causes.values()))

    def rendering(self, conversation: Conversation) -> Rendering:
        """Render a conversation without further kwargs; raise `ChatTmplError` if the template refuses it."""
        return self._cases_of(conversation)[0].rendering

    def refusal(self, conversation: Conversation) -> str | None:
        """Return the error of rendering a conversation, or None."""
        try:
            self.rendering(conversation)
        except ChatTmplError as error:
            return error.message
        return None

    def renders_any(self, conversations: Iterable[Conversation]) -> bool:
        """Return whether the template renders at least one of the conversations."""
        if self._renders is None:
            self._renders = any(self.refusal(conversation) is None for conversation in conversations)
        return self._renders

    def shown_by(self, found: Counterexample, nodeid: str) -> str:
        """Return the id of the item that shows a cause in full, which is the first item that asks."""
        return self._shown_by.setdefault(cause(found), nodeid)

    def _cases_of(self, conversation: Conversation) -> list[Case]:
        known = self._cases.get(id(conversation))
        if known is not None:
            return known
        if self._modes is None:
            self._modes = settings_to_check(self.template)
        if len(self._cases) >= _KEPT:
            self._cases.pop(next(iter(self._cases)))
        made = list(cases_of(self.template, [conversation], self._modes, self.tokenizer))
        return self._cases.setdefault(id(conversation), made)

    def _judged(self, law: Law, outcome: Outcome, case: Case) -> Judgement:
        if isinstance(outcome, DoesNotApply):
            return Judgement("does not apply", outcome.why)
        if isinstance(outcome, NotEvaluated):
            return Judgement("not evaluated", outcome.why)
        if not isinstance(outcome, Counterexample):
            return Judgement("holds")
        family = self.template.family
        if (defect := declared_defect(family, outcome)) is not None and family is not None:
            what = shortened(defect.what, _LONGEST)
            return Judgement("declared", f"{family.name} declares it: {what}", ((outcome, outcome),))
        if (limit := declared_limit(None, self._accept, outcome)) is not None:
            return Judgement("declared", limit, ((outcome, outcome),))
        if RootCause(outcome).severity == "info":
            return Judgement("noted", f"noted: {outcome.message}", ((outcome, outcome),))
        if cause(outcome) not in self._smallest:
            self._smallest[cause(outcome)] = shrink(law, outcome, case)
        return Judgement("broken", outcome.message, ((outcome, self._smallest[cause(outcome)]),))
