"""Causes: one finding for each, less what only follows from it.

A slip of the pen breaks many things. Where a rule knows what was meant, the template is linted once more with that in
its place, and what is no longer found was a consequence. Where it does not, rules name the codes that they explain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from chattmpl.diagnostic import SEVERITIES, TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.probe import common_length
from chattmpl.lint.rule import rules
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit

_LONG = 400
"""Characters of a line on which nearly the whole template stands, so that it says little."""

_NAMED = 4
"""Other lines of one finding that are named."""


def one_a_cause(
    subject: Subject, diagnostics: Iterable[TemplateDiagnostic], again: Callable[[str], list[TemplateDiagnostic] | None]
) -> list[TemplateDiagnostic]:
    """The findings, one for each cause.

    Args:
        subject: the template.
        diagnostics: all that its rules found.
        again: lints another source by the same rules; None if it does not compile.
    """
    given = one_a_line(diagnostics)
    given = _without_same_difference(_without_explained(given))
    return _one_a_message(_without_slips(subject, given, again))


def one_a_line(diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Of findings of one rule on one line the gravest, and of those the first."""
    by_cause: dict[tuple[str, int, int], TemplateDiagnostic] = {}
    for diagnostic in diagnostics:
        line = diagnostic.place.line
        # Templates on one line are common, and there a line says nothing.
        long = len(diagnostic.place.source.line_text(line)) > _LONG
        key = (diagnostic.code, line, diagnostic.place.start if long else 0)
        other = by_cause.get(key)
        if other is None or SEVERITIES.index(diagnostic.severity) < SEVERITIES.index(other.severity):
            by_cause[key] = diagnostic
    return list(by_cause.values())


def _one_a_message(diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Findings of one rule that say the same of several lines as one, at the first of them."""
    known = rules()
    by_message: dict[tuple[str, str, str], list[TemplateDiagnostic]] = {}
    for diagnostic in sorted(diagnostics, key=lambda one: one.order):
        fixable = known[diagnostic.code].fixable() if diagnostic.code in known else False
        # What a fix is tried on stays by itself.
        key = f"{diagnostic.message}{diagnostic.place.start if fixable and not _is_mask(diagnostic) else ''}"
        by_message.setdefault((diagnostic.code, diagnostic.severity, key), []).append(diagnostic)
    return [_joined(same) for same in by_message.values()]


def _is_mask(diagnostic: TemplateDiagnostic) -> bool:
    return diagnostic.law in ("sampled", "stop")


def _joined(same: list[TemplateDiagnostic]) -> TemplateDiagnostic:
    lines = sorted({one.place.line for one in same[1:]} - {same[0].place.line})
    if not lines:
        return same[0]
    named = ", ".join(map(str, lines[:_NAMED])) + ("…" if len(lines) > _NAMED else "")
    return replace(same[0], message=f"{same[0].message} (also in line {named})", lines=tuple(lines))


def _without_explained(given: list[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Without what another finding explains."""
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
    """Without findings that show the first difference of a text that one of another rule shows, and no less grave."""
    first: dict[tuple[str, int], TemplateDiagnostic] = {}
    for one in sorted(given, key=lambda one: SEVERITIES.index(one.severity)):
        if (key := _difference(one)) is not None:
            first.setdefault(key, one)
    return [one for one in given if (key := _difference(one)) is None or first[key].code == one.code]


def _difference(one: TemplateDiagnostic) -> tuple[str, int] | None:
    """The text that should have begun like another, and where it does not; None for findings of another kind."""
    shown, rule = one.counterexample or {}, rules().get(one.code)
    text, other = shown.get("text"), shown.get(rule.compares) if rule is not None and rule.compares else None
    if not isinstance(text, str) or not isinstance(other, str):
        return None
    return text, common_length(text, other)


def _without_slips(
    subject: Subject, given: list[TemplateDiagnostic], again: Callable[[str], list[TemplateDiagnostic] | None]
) -> list[TemplateDiagnostic]:
    """Without what is not there once the slips are mended."""
    slips = {index: edits for index, one in enumerate(given) if (edits := one.intended_edits)}
    if not slips or len(slips) == len(given):
        return given
    mended = again(_edited(subject.source, [edit for edits in slips.values() for edit in edits]))
    if mended is None:
        return given
    left = {(one.code, _plain(one.message)) for one in mended}
    left |= {(one.code, f"{one.place.line} {one.severity}") for one in mended}
    return [
        one
        for index, one in enumerate(given)
        if index in slips
        or one.severity == "info"
        or {(one.code, _plain(one.message)), (one.code, f"{one.place.line} {one.severity}")} & left
    ]


def _plain(message: str) -> str:
    """A message without what it quotes."""
    return re.sub(r"'[^']*'…?", "", message)


def _edited(source: Source, edits: Iterable[Edit]) -> str:
    text, end = source.text, len(source.text)
    for edit in sorted(set(edits), key=lambda edit: edit.start, reverse=True):
        if edit.end <= end:
            text, end = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text
