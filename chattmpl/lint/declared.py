"""Downgrading of findings that a family declares to notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.rule import rules
from chattmpl.template.family import Family


def as_declared(family: Family | None, diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """Return the findings, with those that the family declares as notes with the family's reason."""
    return [_declared(family, diagnostic) for diagnostic in diagnostics] if family else list(diagnostics)


def _declared(family: Family, diagnostic: TemplateDiagnostic) -> TemplateDiagnostic:
    why = _why(family, diagnostic)
    if why is None:
        return diagnostic
    return replace(diagnostic, severity="info", hint=f"{family.name} declares it: {why}", declared=why)


def _why(family: Family, diagnostic: TemplateDiagnostic) -> str | None:
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
