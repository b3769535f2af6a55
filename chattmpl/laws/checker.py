"""The check of laws on many conversations, in each mode of a template."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.budget import allow
from chattmpl.conversation.models import Conversation
from chattmpl.encode import template_for
from chattmpl.engine import Minijinja
from chattmpl.laws.law import Case, Law, evaluate_all
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, NotEvaluated
from chattmpl.laws.root_causes import RootCause, grouped
from chattmpl.laws.settings import AcceptedLimit
from chattmpl.laws.shrink import cause, shrink
from chattmpl.probing import facts_of
from chattmpl.probing.facts import placeholders_in, with_placeholders
from chattmpl.probing.frames import prompts_trace
from chattmpl.probing.shapes import Shape
from chattmpl.template.family import Defect, Family
from chattmpl.template.resolver import TemplateSource
from chattmpl.template.template import Template

_STEPS_PER_CHARACTER = 2
"""Steps for each character of a conversation, in addition: laws render a conversation about forty times."""

Progress = Callable[[int, int], None]
"""A callback that takes the number of cases checked and the number of all cases."""


@dataclass
class Verdict:
    """The outcomes of one law.

    Attributes:
        holds: the number of cases that it holds for.
        silent: the reasons for which it did not apply, with counts.
        refused: the number of cases that it did not apply to since the template does not render them.
        unevaluated: the reasons for which it could not be evaluated, with counts.
        declared: the declared defects of the family that break it, with counts.
        broken: the smallest counterexample for each place and message; `LawReport.findings` has the root causes.
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
        """True if the law applied to at least one case."""
        return bool(self.holds or self.broken or self.declared)


@dataclass(frozen=True)
class LawReport:
    """The outcomes of all laws for one template.

    Attributes:
        verdicts: one for each law, in the order of the laws.
        findings: one for each root cause.
        modes: the kwargs that were tried, each in turn.
        shape: the kinds of conversations that the template supports, if conversations were generated for it.
    """

    template: Template
    verdicts: list[Verdict]
    findings: list[RootCause]
    conversations: int
    modes: list[dict[str, Any]]
    shape: Shape | None = None

    @property
    def placeholders(self) -> list[str]:
        """The names of special tokens that were not known, and placeholders in their stead."""
        return placeholders_in(self.template)

    @property
    def ok(self) -> bool:
        """True if no finding is more severe than an info."""
        return all(finding.severity == "info" for finding in self.findings)


def to_check(found: TemplateSource, retention: str | None = None, tokenizer: Any = None) -> Template:
    """Return the template that was found, with the special tokens of a tokenizer, and placeholders for unknown ones."""
    template = template_for(Template(found, retention), tokenizer)
    return template if found.family is not None else with_placeholders(template)


def settings_to_check(template: Template) -> list[dict[str, Any]]:
    """Return the kwargs to check with: none, and each value of each mode."""
    return [{}, *facts_of(template).settings]


def check(
    template: Template,
    laws: Iterable[Law],
    conversations: Iterable[Conversation],
    tokenizer: Any = None,
    progress: Progress = lambda done, total: None,
    shape: Shape | None = None,
    accept: Sequence[AcceptedLimit] = (),
) -> LawReport:
    """Check laws on conversations, in each of the template's modes.

    Args:
        template: the template.
        laws: the laws.
        conversations: the conversations.
        tokenizer: the tokenizer for laws about tokens, which are not evaluated without one.
        progress: called after each case.
        shape: the kinds of conversations that the template supports, for the report.
        accept: limits that are no findings.

    Raises:
        BudgetError: if the renders take too many steps together.
    """
    verdicts = [Verdict(law) for law in laws]
    causes: set[tuple[Any, ...]] = set()
    matrix = settings_to_check(template)
    given = list(conversations)
    chosen = list(cases_of(template, given, matrix, tokenizer))
    size = sum(len(repr(case.conversation.dump())) for case in chosen)
    with allow(template.budget.of_cases(len(chosen)) + _STEPS_PER_CHARACTER * size) as allowance:
        for number, case in enumerate(chosen, 1):
            for verdict in verdicts:
                _judge(verdict, case, causes, accept)
            progress(number, len(chosen))
        allowance.check()
    _mark_never_rendered(verdicts, chosen)
    found = [counterexample for verdict in verdicts for counterexample in verdict.broken]
    findings = grouped(found, [verdict.law.name for verdict in verdicts])
    return LawReport(template, verdicts, findings, len(given), matrix, shape)


def cases_of(
    template: Template, conversations: Iterable[Conversation], matrix: list[dict[str, Any]], tokenizer: Any
) -> Iterator[Case]:
    """Yield the cases: all conversations without kwargs first, so that a mode is named only where it matters."""
    usual = [facts_of(template).fitted(conversation) for conversation in conversations]
    for kwargs in matrix:
        thinks = prompts_trace(facts_of(template).prober, kwargs) if kwargs else None
        for conversation in usual:
            if thinks is None or _fits(conversation, thinks):
                yield Case(template, conversation, kwargs, tokenizer)


def _fits(conversation: Conversation, thinks: bool) -> bool:
    """Return whether assistant turns can come from a mode: one that reasons leads to traces, any other to none."""
    return all(
        bool(message.reasoning_content) == thinks for message in conversation.messages if message.role == "assistant"
    )


def _judge(verdict: Verdict, case: Case, causes: set[tuple[Any, ...]], accept: Sequence[AcceptedLimit]) -> None:
    for outcome in evaluate_all(verdict.law, case):
        if isinstance(outcome, Holds):
            verdict.holds += 1
        elif isinstance(outcome, DoesNotApply):
            verdict.silent[outcome.why] += 1
            verdict.refused += not outcome.rendered
        elif isinstance(outcome, NotEvaluated):
            verdict.unevaluated[outcome.why] += 1
        elif (limit := declared_limit(case.template.family, accept, outcome)) is not None:
            verdict.declared[limit] += 1
        elif cause(outcome) not in causes:
            causes.add(cause(outcome))
            smallest = shrink(verdict.law, outcome, case)
            verdict.broken.append(smallest)


def _mark_never_rendered(verdicts: list[Verdict], cases: list[Case]) -> None:
    """Mark the laws as not evaluated for a template that refuses every conversation."""
    for verdict in verdicts:
        if cases and verdict.refused == len(cases):
            verdict.unevaluated.update(verdict.silent)
            verdict.silent.clear()


def declared_limit(family: Family | None, accept: Sequence[AcceptedLimit], found: Counterexample) -> str | None:
    """Return the reason for which a counterexample is no finding: its declaration in a family or in pyproject.toml."""
    if (defect := declared_defect(family, found)) is not None:
        return defect.what
    if family is not None and found.law == "portable":
        variables = {**found.conversation.dump(), **found.kwargs}
        bugs = (bug for bug in family.engine_bugs if bug.engine == Minijinja.name and bug.concerns(variables))
        if (bug := next(bugs, None)) is not None:
            return bug.what
    return next((f"{limit} is accepted in pyproject.toml" for limit in accept if limit.covers(found)), None)


def declared_defect(family: Family | None, found: Counterexample) -> Defect | None:
    """Return the declaration in the ``family.toml`` of the template's family that covers a counterexample; None without
    one.
    """
    if family is None:
        return None
    shown = f"{json.dumps(found.kwargs)} {json.dumps(found.conversation.dump())}"
    for defect in family.upstream_defects:
        if defect.law != found.law or (defect.kinds and found.kind not in defect.kinds):
            continue
        if defect.fields and not any(field in (found.path or "") for field in defect.fields):
            continue
        same = all(str(found.data.get(name, "")).startswith(value) for name, value in defect.data.items())
        if same and re.search(defect.when, shown) is not None:
            return defect
    return None
