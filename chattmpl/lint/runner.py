"""The runner of rules, which applies suppressions and reduces findings to root causes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chattmpl.budget import pause_gc
from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import LintContext
from chattmpl.lint.root_causes import one_a_line, root_causes
from chattmpl.lint.rule import Rule, rules
from chattmpl.lint.rules.ct001_does_not_compile import DoesNotCompile
from chattmpl.lint.rules.ct003_unused_ignore import UnusedIgnore
from chattmpl.lint.rules.ct004_not_evaluated import RuleNotEvaluated
from chattmpl.lint.suppressions import directives
from chattmpl.template.family import Family
from chattmpl.template.resolver import TemplateSource


def lint(
    found: TemplateSource, chosen: Sequence[Rule] | None = None, tokenizer: Any = None
) -> list[TemplateDiagnostic]:
    """Return the findings of rules in one template, sorted by place.

    Args:
        found: the template; see `chattmpl.template.resolver.find_templates`.
        chosen: the rules to run; all by default.
        tokenizer: as `chattmpl.encode.load_tokenizer` returns it; without it, rules that need one do not run.
    """
    # The renderings are freed before the garbage collector, which would traverse them, runs again.
    with pause_gc():
        return examine(found, tuple(rules().values()) if chosen is None else chosen, tokenizer)[1]


def examine(
    found: TemplateSource, chosen: Sequence[Rule], tokenizer: Any = None
) -> tuple[LintContext | None, list[TemplateDiagnostic]]:
    """Return the context of a template, None if it does not compile, and its findings; see `lint`."""
    # Linting allocates many small objects, few of which the garbage collector could free before it ends.
    with pause_gc():
        return _examine(found, chosen, tokenizer)


def _examine(
    found: TemplateSource, chosen: Sequence[Rule], tokenizer: Any
) -> tuple[LintContext | None, list[TemplateDiagnostic]]:
    codes = {rule.code for rule in chosen}
    try:
        subject = LintContext(found, tokenizer)
    except ChatTmplError as error:
        return None, [DoesNotCompile().broken(found, error)] if DoesNotCompile.code in codes else []
    made = root_causes(
        subject, _as_declared(found.family, _all(subject, chosen)), partial(_again, found, chosen, tokenizer)
    )
    kept = _without_silenced(subject, made, codes)
    marked = [_marked(subject, diagnostic) for diagnostic in kept]
    return subject, sorted(marked, key=lambda diagnostic: diagnostic.order)


def every(found: TemplateSource, chosen: Sequence[Rule], tokenizer: Any = None) -> list[TemplateDiagnostic]:
    """Return the findings of rules in one template, consequences included."""
    try:
        subject = LintContext(found, tokenizer)
    except ChatTmplError as error:
        return [DoesNotCompile().broken(found, error)]
    made = one_a_line(_as_declared(found.family, _all(subject, chosen)))
    return _without_silenced(subject, made, {rule.code for rule in chosen})


def _all(subject: LintContext, chosen: Sequence[Rule]) -> list[TemplateDiagnostic]:
    """Return all findings of rules, several per cause."""
    codes = {rule.code for rule in chosen}
    made: list[TemplateDiagnostic] = []
    for rule in chosen:
        if subject.tokenizer is not None or not rule.needs_tokenizer:
            made += _checked(rule, subject, codes)
    if RuleNotEvaluated.code in codes:
        made += RuleNotEvaluated().failed(subject)
    return made


def _again(
    found: TemplateSource, chosen: Sequence[Rule], tokenizer: Any, source: str
) -> list[TemplateDiagnostic] | None:
    """Return the findings of rules in another source; None if it does not compile."""
    other = replace(found, source=found.source.with_text(source))
    try:
        return _all(LintContext(other, tokenizer), chosen)
    except ChatTmplError:
        return None


def _marked(subject: LintContext, diagnostic: TemplateDiagnostic) -> TemplateDiagnostic:
    """Return the finding, marked as fixable if its rule offers a fix."""
    rule = rules().get(diagnostic.code)
    if rule is None or not rule.fixable():
        return diagnostic
    return replace(diagnostic, fixable=next(iter(rule.fix(subject, diagnostic)), None) is not None)


def _checked(rule: Rule, subject: LintContext, codes: set[str]) -> list[TemplateDiagnostic]:
    try:
        return list(check_in_modes(rule, subject))
    except Exception as error:
        return [RuleNotEvaluated().crashed(subject, rule.code, error)] if RuleNotEvaluated.code in codes else []


def check_in_modes(rule: Rule, subject: LintContext) -> Iterator[TemplateDiagnostic]:
    """Yield the findings of a rule without any kwargs and, if none of these is more than an info, in each mode."""
    found = list(rule.check(subject))
    yield from found
    # What is found without kwargs has the same cause with them.
    if not rule.per_mode or any(one.severity != "info" for one in found):
        return
    plain = subject.facts
    lines = {finding.place.line for finding in found}
    for mode in subject.modes:
        subject.facts = mode.facts
        try:
            in_mode = list(rule.check(subject))
        finally:
            subject.facts = plain
        for finding in in_mode:
            if finding.place.line not in lines:
                lines.add(finding.place.line)
                yield replace(finding, message=f"with {mode.words}, {finding.message}", mode=mode.kwargs)


def _without_silenced(
    subject: LintContext, diagnostics: list[TemplateDiagnostic], codes: set[str]
) -> list[TemplateDiagnostic]:
    kept = list(diagnostics)
    for directive in directives(subject):
        if not directive.valid:
            continue
        silenced = [diagnostic for diagnostic in kept if directive.silences(diagnostic)]
        kept = [diagnostic for diagnostic in kept if diagnostic not in silenced]
        # A rule that did not run cannot be unused.
        looked = any(code.startswith(directive.codes) for code in codes)
        if not silenced and looked and UnusedIgnore.code in codes:
            kept.append(UnusedIgnore().unused(directive))
    return kept


# -- defects that a family declares


def _as_declared(family: Family | None, diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Return the findings, with those that the family declares as notes with the family's reason."""
    return [_declared(family, diagnostic) for diagnostic in diagnostics] if family else list(diagnostics)


def _declared(family: Family, diagnostic: TemplateDiagnostic) -> TemplateDiagnostic:
    why = _reason(family, diagnostic)
    if why is None:
        return diagnostic
    return replace(diagnostic, severity="info", hint=f"{family.name} declares it: {why}", declared=why)


def _reason(family: Family, diagnostic: TemplateDiagnostic) -> str | None:
    rule = rules().get(diagnostic.code)
    fields = rule.loses if rule is not None else ()
    for limit in family.limits:
        if any(field.startswith(fields) for field in limit.fields if fields):
            return limit.why
    for defect in family.upstream_defects:
        broken = diagnostic.law is not None and defect.law == diagnostic.law and defect.unconditional
        if diagnostic.code in defect.rules or broken:
            return defect.what
    return None
