"""Laws over many conversations: what holds, what does not apply, what could not be evaluated, and what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation import Conversation
from chattmpl.errors import UsageError
from chattmpl.family import shipped_folder
from chattmpl.laws.law import Case, Law, evaluate
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, NotEvaluated
from chattmpl.laws.shrink import cause, shrink
from chattmpl.loaders import load_conversation
from chattmpl.template import Template


@dataclass
class Verdict:
    """What came of one law.

    Attributes:
        law: the law.
        holds: for how many conversations it holds.
        silent: why it did not apply, with counts.
        unevaluated: why it could not be evaluated, with counts.
        broken: the smallest counterexample for each root cause.
    """

    law: Law
    holds: int = 0
    silent: Counter[str] = field(default_factory=Counter)
    unevaluated: Counter[str] = field(default_factory=Counter)
    broken: list[Counterexample] = field(default_factory=list)

    @property
    def evaluated(self) -> bool:
        """Whether the law was checked at all: a law that never applied says nothing."""
        return bool(self.holds or self.broken)


def fixtures() -> list[Conversation]:
    """The conversations that ship, one a shape."""
    return [load_conversation(path) for path in sorted(shipped_folder("fixtures").glob("*.json"))]


def made(count: int) -> list[Conversation]:
    """Conversations that hypothesis makes, always the same ones.

    Raises:
        UsageError: if hypothesis is not installed.
    """
    if not count:
        return []
    try:
        from hypothesis import HealthCheck, Phase, given, settings

        from chattmpl.strategies import conversations
    except ImportError:
        raise UsageError(
            "making conversations needs hypothesis", hint="pip install hypothesis, or check with --examples 0"
        ) from None
    found: list[Conversation] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(conversations())
    def collect(conversation: dict[str, Any]) -> None:
        found.append(Conversation.coerce(conversation))

    collect()
    return found


def modes(template: Template) -> list[dict[str, Any]]:
    """The kwargs to check with: none, and each value of each mode that the family declares."""
    matrix: list[dict[str, Any]] = [{}]
    declared = template.family.modes if template.family else {}
    for name, mode in declared.items():
        matrix += [{name: value} for value in mode.values if value != mode.default]
    return matrix


def check(
    template: Template,
    laws: Iterable[Law],
    conversations: Iterable[Conversation],
    tokenizer: Any = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Verdict]:
    """Check laws on conversations, under each of the template's modes.

    Args:
        template: what is checked.
        laws: which laws.
        conversations: on what.
        tokenizer: for the laws about tokens, which are not evaluated without one.
        progress: called after each conversation.

    Returns:
        One verdict a law, in the order of the laws.
    """
    verdicts = [Verdict(law) for law in laws]
    causes: set[tuple[Any, ...]] = set()
    matrix = modes(template)
    for conversation in conversations:
        for kwargs in matrix:
            case = Case(template, conversation, kwargs, tokenizer)
            for verdict in verdicts:
                _judge(verdict, case, causes)
        progress()
    return verdicts


def _judge(verdict: Verdict, case: Case, causes: set[tuple[Any, ...]]) -> None:
    outcome = evaluate(verdict.law, case)
    if isinstance(outcome, Holds):
        verdict.holds += 1
    elif isinstance(outcome, DoesNotApply):
        verdict.silent[outcome.why] += 1
    elif isinstance(outcome, NotEvaluated):
        verdict.unevaluated[outcome.why] += 1
    elif cause(outcome) not in causes:
        causes.add(cause(outcome))
        smallest = shrink(verdict.law, outcome, case)
        causes.add(cause(smallest))
        verdict.broken.append(smallest)
