"""Reduction of findings to root causes.

A typo breaks many things. If a finding has intended edits, the template is linted again with them, and findings that
disappear were consequences. Otherwise rules name the codes that they explain.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from chattmpl.diagnostic import SEVERITIES, TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import rules
from chattmpl.source import Source, common_length
from chattmpl.syntax.edits import Edit

_LONG = 400
"""Length in characters from which a line holds nearly the whole template, so that it identifies nothing."""

_NAMED = 4
"""The most other lines that a message names."""


def root_causes(
    subject: LintContext,
    diagnostics: Iterable[TemplateDiagnostic],
    again: Callable[[str], list[TemplateDiagnostic] | None],
) -> list[TemplateDiagnostic]:
    """Return one finding for each root cause; ``again`` lints another source, None if it does not compile."""
    given = one_a_line(diagnostics)
    given = _without_same_difference(_without_explained(given))
    return _one_a_problem(_without_consequences(subject, given, again))


def one_a_line(diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Return the most severe finding of each rule on each line, the first of several."""
    by_cause: dict[tuple[str, int, int], TemplateDiagnostic] = {}
    for diagnostic in diagnostics:
        line = diagnostic.place.line
        # Templates on a single line are common, and there the line identifies nothing.
        long = len(diagnostic.place.source.line_text(line)) > _LONG
        key = (diagnostic.code, line, diagnostic.place.start if long else 0)
        other = by_cause.get(key)
        if other is None or SEVERITIES.index(diagnostic.severity) < SEVERITIES.index(other.severity):
            by_cause[key] = diagnostic
    return list(by_cause.values())


def _one_a_problem(diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Merge findings of the same problem on several lines, at the first of them."""
    known = rules()
    by_problem: dict[tuple[Any, ...], list[TemplateDiagnostic]] = {}
    for diagnostic in sorted(diagnostics, key=lambda one: one.order):
        fixable = known[diagnostic.code].fixable() if diagnostic.code in known else False
        # A finding that can be fixed on its own is not merged.
        own = diagnostic.place.start if fixable and diagnostic.law not in ("sampled", "stop") else None
        key = (*diagnostic.identity, own)
        by_problem.setdefault(key, []).append(diagnostic)
    return [_joined(same) for same in by_problem.values()]


def _joined(same: list[TemplateDiagnostic]) -> TemplateDiagnostic:
    lines = sorted({one.place.line for one in same[1:]} - {same[0].place.line})
    if not lines:
        return same[0]
    named = ", ".join(map(str, lines[:_NAMED])) + ("…" if len(lines) > _NAMED else "")
    return replace(same[0], message=f"{same[0].message} (also in line {named})", lines=tuple(lines))


def _without_explained(given: list[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Remove findings that another finding explains."""
    known = rules()
    template: set[str] = set()
    lines: set[tuple[str, int]] = set()
    for one in given:
        for code in known[one.code].explains if one.code in known and one.severity != "info" else ():
            name, _, at_line = code.partition(":")
            if at_line:
                lines.add((name, one.place.line))
            else:
                template.add(name)
    return [one for one in given if one.code not in template and (one.code, one.place.line) not in lines]


def _without_same_difference(given: list[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Remove findings that show the same difference of texts as a finding of another rule, at least as severe."""
    first: dict[tuple[str, int], TemplateDiagnostic] = {}
    for one in sorted(given, key=lambda one: SEVERITIES.index(one.severity)):
        if (key := _difference(one)) is not None:
            first.setdefault(key, one)
    return [one for one in given if (key := _difference(one)) is None or first[key].code == one.code]


def _difference(one: TemplateDiagnostic) -> tuple[str, int] | None:
    """Return the text that should begin with the other, and the first difference; None if no texts are compared."""
    shown, rule = one.counterexample or {}, rules().get(one.code)
    text, other = shown.get("text"), shown.get(rule.compares) if rule is not None and rule.compares else None
    if not isinstance(text, str) or not isinstance(other, str):
        return None
    return text, common_length(text, other)


def _without_consequences(
    subject: LintContext, given: list[TemplateDiagnostic], again: Callable[[str], list[TemplateDiagnostic] | None]
) -> list[TemplateDiagnostic]:
    """Remove findings that disappear once the intended edits of others are made."""
    intended = {index: edits for index, one in enumerate(given) if (edits := one.intended_edits)}
    if not intended or len(intended) == len(given):
        return given
    remaining = again(_edited(subject.source, [edit for edits in intended.values() for edit in edits]))
    if remaining is None:
        return given
    problems = {one.problem for one in remaining}
    lines = {(one.code, one.place.line, one.severity) for one in remaining}
    return [
        one
        for index, one in enumerate(given)
        if index in intended
        or one.severity == "info"
        or one.problem in problems
        or (one.code, one.place.line, one.severity) in lines
    ]


def _edited(source: Source, edits: Iterable[Edit]) -> str:
    text, end = source.text, len(source.text)
    for edit in sorted(set(edits), key=lambda edit: edit.start, reverse=True):
        if edit.end <= end:
            text, end = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text
