"""What a shipped family declares of itself: a finding that it declares is no error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.template.family import Family

_FIELDS = {
    "CT301": ("messages[].content",),
    "CT302": ("tools",),
    "CT303": ("messages[].tool_calls",),
    "CT304": ("messages[].content", "messages[role=tool].content"),
    "CT305": ("messages[].reasoning_content",),
    "CT306": ("messages[].content",),
    "CT307": ("messages[].tool_calls",),
    "CT308": ("messages[].content",),
}
"""For rules on lost fields, what they are called in a family's limits."""


def as_declared(family: Family | None, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The findings, with those that the family declares as ``info`` and with the family's words."""
    return [_declared(family, diagnostic) for diagnostic in diagnostics] if family else list(diagnostics)


def _declared(family: Family, diagnostic: Diagnostic) -> Diagnostic:
    why = _why(family, diagnostic)
    if why is None:
        return diagnostic
    return replace(diagnostic, severity="info", hint=f"{family.name} declares it: {why}")


def _why(family: Family, diagnostic: Diagnostic) -> str | None:
    fields = _FIELDS.get(diagnostic.code, ())
    for limit in family.limits:
        if any(field.startswith(fields) for field in limit.fields if fields):
            return limit.why
    for defect in family.upstream_defects:
        broken = diagnostic.law is not None and defect.law == diagnostic.law and not defect.when
        if diagnostic.code in defect.rules or broken:
            return defect.what
    return None
