"""Diagnostics: what a rule or a law found, where, and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.source import Place

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The gravest first. Errors break training or serving."""


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: that of the rule, as in ``CT101``.
        severity: ``error``, ``warning`` or ``info``.
        place: where in the template.
        message: what is wrong, without a full stop.
        hint: the way out.
        law: the law that is broken, if it is one.
        counterexample: the conversation that shows it and what was rendered, as JSON types.
        fixable: whether its rule knows an edit that may mend it; whether it does is proven when it is made.
    """

    code: str
    severity: Severity
    place: Place
    message: str
    hint: str
    law: str | None = None
    counterexample: Mapping[str, Any] | None = None
    fixable: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON types; ``fixable``, ``law`` and ``counterexample`` only where they say something."""
        made: dict[str, Any] = {
            "code": self.code,
            "severity": self.severity,
            "file": self.place.source.name,
            "line": self.place.line,
            "column": self.place.column,
            "message": self.message,
            "hint": self.hint,
        }
        if self.fixable:
            made["fixable"] = True
        if self.law is not None:
            made["law"] = self.law
            made["counterexample"] = None if self.counterexample is None else dict(self.counterexample)
        return made

    @property
    def order(self) -> tuple[str, int, int, str]:
        """What diagnostics are sorted by: file, line, column, code."""
        return (self.place.source.name, self.place.line, self.place.column, self.code)
