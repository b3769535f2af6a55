"""Comparison of a template in another engine with Jinja2, with the differences grouped by cause."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chattmpl.budget import Budget, allow
from chattmpl.compare.cases import RenderCase
from chattmpl.compare.explain import Cause, Explainer, Outcome, OutcomePair, reference, rendered
from chattmpl.engine import Engine, variables
from chattmpl.errors import BudgetError, ChatTmplError
from chattmpl.laws.outcome import first_difference
from chattmpl.source import Place, Source
from chattmpl.syntax.edits import Edit
from chattmpl.syntax.lexer import normalize_newlines
from chattmpl.template.family import EngineBug
from chattmpl.template.template import Template

_ROUNDS = 6
"""Limit of the causes that are searched for in one case."""


@dataclass
class EngineFinding:
    """A cause, and the cases in which it occurs.

    Attributes:
        cause: the construct and the difference.
        cases: the cases in which it occurs.
        expected, got: the outcomes of Jinja2 and of the engine for the first case, with earlier causes rewritten.
    """

    cause: Cause
    cases: list[RenderCase]
    expected: Outcome
    got: Outcome

    @property
    def difference(self) -> int | None:
        """Offset of the first difference, if both render."""
        if self.expected.text is None or self.got.text is None:
            return None
        return first_difference(self.expected.text, self.got.text)


@dataclass
class EngineReport:
    """The result of the comparison with one engine.

    Attributes:
        emulated: true if it is not the engine's own code that ran.
        agreed, disagreed: numbers of cases, without those of a declared bug.
        findings: the causes.
        declared: bugs that the family declares, with the numbers of cases in which they occur.
        hosted: number of the cases that agree only where the host replaces the engine's own filters.
        overrun: the error of the case that exceeded the template's budget; None if none did.
        skipped: number of cases after that one, which were not compared.
    """

    engine: str
    version: str | None = None
    emulated: bool = False
    agreed: int = 0
    disagreed: int = 0
    findings: list[EngineFinding] = field(default_factory=list)
    declared: Counter[EngineBug] = field(default_factory=Counter)
    hosted: int = 0
    overrun: BudgetError | None = None
    skipped: int = 0


def served(template: Template, target: str | None = None) -> Source:
    """Return the source that engines get: a file as it is, or an export of a family or a template in our dialect.

    A target, ``train`` or ``inference``, gets that export in any case.
    """
    if target is None and template.family is None and not template.program.has_reasoning:
        return template.given
    kind: Any = target or ("inference" if template.family else "train")
    return Source(template.export(kind), f"{template.name} ({kind} export)")


def compare(template: Template, engine: Engine, cases: Iterable[RenderCase], target: str | None = None) -> EngineReport:
    """Render cases with Jinja2 and an engine, and find the causes of the differences; for the target see `served`."""
    return _Comparison(template, engine, target).run(cases)


class _Comparison:
    def __init__(self, template: Template, engine: Engine, target: str | None) -> None:
        self.template = template
        self.engine = engine
        self.raw = served(template, target)
        self.source = self.raw.with_text(normalize_newlines(self.raw.text))
        self.explainer = Explainer(self.source, engine)
        self.report = EngineReport(engine.name, engine.version, engine.emulated)
        self.findings: dict[tuple[str, int], EngineFinding] = {}
        self.bugs: tuple[EngineBug, ...] = template.family.engine_bugs if template.family else ()

    def run(self, cases: Iterable[RenderCase]) -> EngineReport:
        every = list(cases)
        with allow(Budget().of_cases(len(every))):
            self._compare_all(every)
        self.report.findings = sorted(self.findings.values(), key=lambda finding: finding.cause.place.start)
        return self.report

    def _compare_all(self, cases: Iterable[RenderCase]) -> None:
        for case in cases:
            if self.report.overrun is not None:  # each further conversation would most likely exceed the budget too
                self.report.skipped += 1
                continue
            try:
                self._compare(case)
            except BudgetError as error:
                self.report.overrun = error

    def _compare(self, case: RenderCase) -> None:
        context = variables(self.template, case.conversation, case.kwargs, case.prompt)
        expected = reference(self.source.text, context)
        got = rendered(self.engine, self.raw.text, context)
        if expected.text == got.text:
            self.report.agreed += 1
            if got.text is not None and any(name in self.raw.text for name in self.engine.replaced):
                self.report.hosted += self.engine.render_unhosted(self.raw.text, context) != got.text
            return
        bugs = [bug for bug in self.bugs if bug.engine == self.engine.name and bug.concerns(context)]
        if bugs:
            self.report.declared.update(bugs)
            return
        self.report.disagreed += 1
        if "\r" in self.raw.text and got != rendered(self.engine, self.source.text, context):
            self._note(_carriage_returns(self.raw), case, expected, got)
        self._explain(case, context)

    def _explain(self, case: RenderCase, context: dict[str, Any]) -> None:
        edits: tuple[Edit, ...] = ()
        state = self.explainer.state(edits, context)
        for finding in list(self.findings.values()):
            state, edits = self._known(finding, case, state, edits, context)
        for _ in range(_ROUNDS):
            if state.agree:
                return
            cause, after = self.explainer.explain(state, edits, context)
            self._note(cause, case, state.expected, state.got)
            if after is state:
                return
            state, edits = after, (*edits, *cause.edits)

    def _known(
        self,
        finding: EngineFinding,
        case: RenderCase,
        state: OutcomePair,
        edits: tuple[Edit, ...],
        context: dict[str, Any],
    ) -> tuple[OutcomePair, tuple[Edit, ...]]:
        """Return the state after rewriting the constructs of an earlier cause, if this case has that cause too."""
        new = tuple(edit for edit in finding.cause.edits if edit not in edits)
        if state.agree or not new:
            return state, edits
        try:
            after = self.explainer.state((*edits, *new), context)
        except (ChatTmplError, AssertionError):
            return state, edits
        if after.progress <= state.progress or (after.expected.text is None and state.expected.text is not None):
            return state, edits
        finding.cases.append(case)
        return after, (*edits, *new)

    def _note(self, cause: Cause, case: RenderCase, expected: Outcome, got: Outcome) -> None:
        key = (cause.code, cause.place.start)
        if key in self.findings:
            self.findings[key].cases.append(case)
        else:
            self.findings[key] = EngineFinding(cause, [case], expected, got)


def _carriage_returns(source: Source) -> Cause:
    at = source.text.index("\r")
    place = Place(source, at, at + 1)
    return Cause(
        "carriage-returns",
        "the engine keeps the carriage returns of the file; Jinja2 reads CRLF as LF",
        "save the file with LF newlines",
        place,
        True,
    )
