"""Audits: defects of a data set, found before training."""

from chattmpl.data.audit.audit import AuditError, AuditReport, audit
from chattmpl.data.audit.check import GROUPS, SECTIONS, Check, RowFinding, all_checks, check_named, chosen
from chattmpl.data.audit.totals import AuditSettings

__all__ = [
    "GROUPS",
    "SECTIONS",
    "AuditError",
    "AuditReport",
    "AuditSettings",
    "Check",
    "RowFinding",
    "all_checks",
    "audit",
    "check_named",
    "chosen",
]
