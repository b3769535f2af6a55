"""Findings of an audit, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chattmpl.errors import ChatTmplError

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Example:
    """A row in which something was found.

    Attributes:
        file: its file, or the name of its source where rows are in memory.
        line: its line, from 1; None where there are no lines.
        number: its number in the file, from 0.
        detail: what is there to see.
    """

    file: str
    line: int | None
    number: int
    detail: str = ""

    @property
    def place(self) -> str:
        """``file:line``, or ``file[number]`` where there are no lines."""
        return f"{self.file}[{self.number}]" if self.line is None else f"{self.file}:{self.line}"

    def to_dict(self) -> dict[str, Any]:
        """The example as JSON."""
        said = {"place": self.place, "file": self.file, "line": self.line, "number": self.number}
        return {**said, "detail": self.detail} if self.detail else said


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with some rows.

    Attributes:
        code, name: of its kind.
        severity: ``error``, ``warning`` or ``info``.
        key: what tells it from other findings of its kind: a field, a reason, a source.
        message: what is wrong.
        count: in how many rows.
        share: the part that these are of all rows.
        amount: how often, where it can happen several times in a row.
        unit: what ``amount`` counts.
        examples: the first such rows.
        hint: the way out.
        sources: how many rows it is in each source.
    """

    code: str
    name: str
    severity: Severity
    key: str
    message: str
    count: int
    share: float
    amount: int
    examples: tuple[Example, ...]
    hint: str
    sources: Mapping[str, int] = field(default_factory=dict)
    unit: str = "times"

    def __str__(self) -> str:
        where = f" ({', '.join(example.place for example in self.examples)})" if self.examples else ""
        return f"{self.code} {self.name}: {self.message}: {self.count:,} ({self.share:.1%}){where}"

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "key": self.key,
            "message": self.message,
            "count": self.count,
            "share": self.share,
            "amount": self.amount,
            "unit": self.unit,
            "examples": [example.to_dict() for example in self.examples],
            "hint": self.hint,
            "sources": dict(self.sources),
        }


class AuditError(ChatTmplError, AssertionError):
    """An audit found what it should not have; a test that raises it has failed."""


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        findings: the worst first, then by code.
        rows: how many rows were looked at.
        encoded: how many of them can be encoded.
        tokens: how many tokens these have.
    """

    findings: tuple[Finding, ...]
    rows: int
    encoded: int
    tokens: int

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def failed(self) -> bool:
        """Whether there are errors or warnings."""
        return any(finding.severity != "info" for finding in self.findings)

    def of(self, which: str) -> tuple[Finding, ...]:
        """The findings of a kind, by its code or name, or of a group of codes."""
        return tuple(found for found in self.findings if found.code.startswith(which) or found.name == which)

    def count(self, which: str) -> int:
        """In how many rows something of a kind was found, added up over its findings."""
        return sum(found.count for found in self.of(which))

    def raise_if(self, severity: Severity = "warning", *, ignore: Iterable[str] = ()) -> None:
        """Raises where something was found, for tests.

        Args:
            severity: the least that counts.
            ignore: codes, or beginnings of codes, that do not.

        Raises:
            AuditError: which is an ``AssertionError``, and tells all that counts.
        """
        least, without = SEVERITIES.index(severity), tuple(ignore)
        counting = [
            found
            for found in self.findings
            if SEVERITIES.index(found.severity) <= least and not (without and found.code.startswith(without))
        ]
        if counting:
            told = "".join(f"\n  {found}\n    hint: {found.hint}" for found in counting)
            raise AuditError(f"the audit found {len(counting)} in {self.rows:,} rows:{told}")

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        said = {"rows": self.rows, "encoded": self.encoded, "tokens": self.tokens}
        return {**said, "findings": [found.to_dict() for found in self.findings]}
