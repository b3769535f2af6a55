"""What a shipped family declares of itself: a finding that it declares is no error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.rule import rules
from chattmpl.template.family import Family


def as_declared(family: Family | None, diagnostics: Iterable[TemplateDiagnostic]) -> list[TemplateDiagnostic]:
    """The findings, with those that the family declares as ``info`` and with the family's words."""
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
        broken = diagnostic.law is not None and defect.law == diagnostic.law and not defect.when
        if diagnostic.code in defect.rules or broken:
            return defect.what
    return None
