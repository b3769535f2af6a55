"""What would go wrong in training on a data set, found before it."""

from __future__ import annotations

from chattmpl.data.audit.audit import audit
from chattmpl.data.audit.check import GROUPS, SECTIONS, Kind, Note, all_kinds, chosen, kind_named
from chattmpl.data.audit.finding import Example, Finding, Report
from chattmpl.data.audit.settings import Settings

__all__ = [
    "GROUPS",
    "SECTIONS",
    "Example",
    "Finding",
    "Kind",
    "Note",
    "Report",
    "Settings",
    "all_kinds",
    "audit",
    "chosen",
    "kind_named",
]
