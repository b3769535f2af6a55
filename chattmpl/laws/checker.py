"""Laws over many conversations: what holds, what does not apply, what could not be evaluated, and what is broken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from chattmpl.conversation.files import load_conversation
from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.laws import modes as found_modes
from chattmpl.laws.declared_defects import declared_defect
from chattmpl.laws.findings import Finding, grouped
from chattmpl.laws.law import CLOCK, Case, Law, evaluate_all
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, NotEvaluated, first_difference
from chattmpl.laws.shapes import Shape, as_parts, only_parts
from chattmpl.laws.shrink import cause, shrink
from chattmpl.template.family import shipped_folder
from chattmpl.template.resolver import Found
from chattmpl.template.special_tokens import PLACEHOLDERS
from chattmpl.template.template import Template

Progress = Callable[[int, int], None]
"""Called with how many cases are done, and how many there are."""

_THINK = re.compile(r"<(/?)\|?(?:\w*think\w*|reasoning)\|?>|\[(/?)THINK\]", re.IGNORECASE)
"""What opens or closes a trace in a generation prompt."""


@dataclass
class Verdict:
    """What came of one law.

    Attributes:
        law: the law.
        holds: for how many conversations it holds.
        silent: why it did not apply, with counts.
        refused: for how many conversations it did not apply since the template does not render them.
        unevaluated: why it could not be evaluated, with counts.
        declared: which declared defects of the family break it, with counts.
        broken: the smallest counterexample for each place and message; see `Report.findings` for root causes.
    """

    law: Law
    holds: int = 0
    silent: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    unevaluated: Counter[str] = field(default_factory=Counter)
    declared: Counter[str] = field(default_factory=Counter)
    broken: list[Counterexample] = field(default_factory=list)

    @property
    def evaluated(self) -> bool:
        """Whether the law was checked at all: a law that never applied says nothing."""
        return bool(self.holds or self.broken or self.declared)


@dataclass(frozen=True)
class Report:
    """What came of a template.

    Attributes:
        template: what was checked.
        verdicts: one a law, in the order of the laws.
        findings: one a root cause.
        conversations: how many conversations it was checked on.
        modes: the kwargs that were tried, each in turn.
        shape: what the template supports, where conversations were made for it; else None.
    """

    template: Template
    verdicts: list[Verdict]
    findings: list[Finding]
    conversations: int
    modes: list[dict[str, Any]]
    shape: Shape | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing graver than a note was found."""
        return all(finding.severity == "info" for finding in self.findings)


def to_check(found: Found, retention: str | None = None) -> Template:
    """The template that was found, with stand-ins for special tokens if it came without any."""
    if found.family is None and not found.tokens:
        found = replace(found, tokens=PLACEHOLDERS)
    return Template(found, retention)


def fixtures() -> list[Conversation]:
    """The conversations that ship, one a shape."""
    return [load_conversation(path) for path in sorted(shipped_folder("fixtures").glob("*.json"))]


def made(count: int, shape: Shape | None = None) -> list[Conversation]:
    """Conversations that hypothesis makes.

    They are the same ones each time, as long as the same modules of the user's own are imported: hypothesis draws
    constants from those.

    Args:
        count: how many.
        shape: what they may have; everything by default.

    Raises:
        UsageError: if hypothesis is not installed.
    """
    if not count:
        return []
    try:
        from hypothesis import HealthCheck, Phase, given, settings

        from chattmpl.conversation.strategies import conversations
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
    @given(conversations(**asdict(shape or Shape())))
    def collect(conversation: dict[str, Any]) -> None:
        found.append(Conversation.coerce(conversation))

    collect()
    return found


def modes(template: Template) -> list[dict[str, Any]]:
    """The kwargs to check with: none, and each value of each mode; see `chattmpl.laws.modes`."""
    return [{}, *found_modes.modes(template)]


def check(
    template: Template,
    laws: Iterable[Law],
    conversations: Iterable[Conversation],
    tokenizer: Any = None,
    progress: Progress = lambda done, total: None,
    shape: Shape | None = None,
) -> Report:
    """Check laws on conversations, under each of the template's modes.

    Args:
        template: what is checked.
        laws: which laws.
        conversations: on what.
        tokenizer: for the laws about tokens, which are not evaluated without one.
        progress: called after each case.
        shape: what the template supports, for the report.
    """
    verdicts = [Verdict(law) for law in laws]
    causes: set[tuple[Any, ...]] = set()
    matrix = modes(template)
    given = list(conversations)
    usual = [as_parts(conversation) for conversation in given] if only_parts(template) else given
    chosen = list(cases_of(template, usual, matrix, tokenizer))
    for number, case in enumerate(chosen, 1):
        for verdict in verdicts:
            _judge(verdict, case, causes)
        progress(number, len(chosen))
    _say_what_never_rendered(verdicts, chosen)
    found = [counterexample for verdict in verdicts for counterexample in verdict.broken]
    findings = grouped(found, [verdict.law.name for verdict in verdicts])
    return Report(template, verdicts, findings, len(given), matrix, shape)


def cases_of(
    template: Template, conversations: list[Conversation], matrix: list[dict[str, Any]], tokenizer: Any
) -> Iterator[Case]:
    """All conversations without kwargs first, so that a mode is named only where it takes one."""
    for kwargs in matrix:
        thinks = _thinks(template, kwargs) if kwargs else None
        for conversation in conversations:
            if thinks is None or _fits(conversation, thinks):
                yield Case(template, conversation, kwargs, tokenizer)


def _thinks(template: Template, kwargs: dict[str, Any]) -> bool | None:
    """Whether the generation prompt of a mode opens a trace (True), or closes it (False); None if it does neither."""
    try:
        ask = [{"role": "user", "content": "Hi"}]
        before, prompt = (template.render(ask, prompt, CLOCK, **kwargs).text for prompt in (False, True))
    except ChatTmplError:
        return None
    marks = list(_THINK.finditer(prompt[first_difference(before, prompt) :]))
    return None if not marks else not (marks[-1][1] or marks[-1][2])


def _fits(conversation: Conversation, thinks: bool) -> bool:
    """Whether a mode can have led to the assistant's turns: one without thinking leads to no trace, and vice versa."""
    return all(
        bool(message.reasoning_content) == thinks for message in conversation.messages if message.role == "assistant"
    )


def _judge(verdict: Verdict, case: Case, causes: set[tuple[Any, ...]]) -> None:
    for outcome in evaluate_all(verdict.law, case):
        if isinstance(outcome, Holds):
            verdict.holds += 1
        elif isinstance(outcome, DoesNotApply):
            verdict.silent[outcome.why] += 1
            verdict.refused += not outcome.rendered
        elif isinstance(outcome, NotEvaluated):
            verdict.unevaluated[outcome.why] += 1
        elif (defect := declared_defect(case.template.family, outcome)) is not None:
            verdict.declared[defect.what] += 1
        elif cause(outcome) not in causes:
            causes.add(cause(outcome))
            smallest = shrink(verdict.law, outcome, case)
            verdict.broken.append(smallest)


def _say_what_never_rendered(verdicts: list[Verdict], cases: list[Case]) -> None:
    """A template that refuses every conversation was not evaluated, which is not to say that its laws do not apply."""
    for verdict in verdicts:
        if cases and verdict.refused == len(cases):
            verdict.unevaluated.update(verdict.silent)
            verdict.silent.clear()
