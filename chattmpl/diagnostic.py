"""Findings of rules, laws and audit checks as data; their messages and hints are made from that data for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from chattmpl.printable import one_line, row_place
from chattmpl.source import Place
from chattmpl.syntax.edits import Edit

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The most severe first. Errors break training or serving; ``info`` never fails a command."""

_INDEX = re.compile(r"\d+")
_FIELD = re.compile(r"\{(\w+)\}")


def without_indices(path: str | None) -> str:
    """Return the path of a field without its indices, as in ``messages[].content``; empty for no path."""
    return _INDEX.sub("", path or "")


class Quoted(str):
    """Text of a template or a rendering, which messages show in quotes; a long one is cut.

    Args:
        text: the whole text.
        width: the number of characters to keep.
    """

    cut: bool

    def __new__(cls, text: str, width: int = 48) -> Quoted:  # noqa: D102 — documented by the class
        made = super().__new__(cls, text[:width])
        made.cut = len(text) > width
        return made

    def __format__(self, specification: str) -> str:
        return repr(str(self)) + ("…" if self.cut else "")


def wording(pattern: str, data: Mapping[str, Any]) -> str:
    """Return a pattern with ``{name}`` replaced by the field of that name; other braces, such as Jinja's, are kept."""
    return _FIELD.sub(lambda match: one_line(format(data[match[1]])) if match[1] in data else match[0], pattern)


class Location(NamedTuple):
    """A position in a file. Lines and columns count from 1 and are None where the file has none."""

    file: str
    line: int | None
    column: int | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """A finding.

    Attributes:
        code: the code of the rule or check, as in ``CT101``, or the name of the law.
        severity: ``error``, ``warning`` or ``info``.
        message: what is wrong, without a full stop. For people only.
        hint: how to fix it. For people only.
        kind: which of the problems that a rule or law distinguishes, as a fixed word.
        data: the values that message and hint are made from, as JSON types.
    """

    code: str
    severity: Severity
    message: str
    hint: str
    kind: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def locations(self) -> tuple[Location, ...]:
        """The positions that show the finding, the most important first."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types."""
        return {"code": self.code, "severity": self.severity, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, kw_only=True)
class TemplateDiagnostic(Diagnostic):
    """A finding in a template.

    Attributes:
        place: where in the template.
        law: the name of the law that is broken; None if it is none.
        counterexample: the conversation that shows it and the texts that were rendered, as JSON types.
        mode: the template kwargs that it was found with.
        lines: other lines of the template with the same finding.
        intended_edits: what the author probably meant to write, which changes the rendered text. Findings that
            disappear with these edits are consequences of this one.
        fixable: whether the rule offers an edit that changes no text; whether it can be applied is proven later.
        declared: the family's reason, if the family declares this defect.
    """

    place: Place
    law: str | None = None
    counterexample: Mapping[str, Any] | None = None
    mode: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[int, ...] = ()
    intended_edits: tuple[Edit, ...] = ()
    fixable: bool = False
    declared: str | None = None

    @property
    def locations(self) -> tuple[Location, ...]:
        """The place in the template; if that is only a part of a file, the start of the file."""
        source = self.place.source
        if source.file is not None:
            return (Location(source.file, 1, 1),)
        return (Location(source.name, self.place.line, self.place.column),)

    @property
    def problem(self) -> tuple[Any, ...]:
        """The identity of the problem, wherever it occurs: rule, kind, mode, and data without quoted text."""
        named = tuple((name, value) for name, value in sorted(self.data.items()) if not isinstance(value, Quoted))
        return self.code, self.kind, repr(sorted(self.mode.items())), repr(named)

    @property
    def identity(self) -> tuple[Any, ...]:
        """The identity of the finding, wherever it occurs: its problem, severity and all data."""
        return *self.problem, self.severity, repr(self.data)

    @property
    def order(self) -> tuple[str, int, int, str]:
        """The sort key of reports: file, line, column, code."""
        return (self.place.source.name, self.place.line, self.place.column, self.code)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types; keys with nothing to say are left out, except for the place."""
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
        more = {"kind": self.kind, "data": dict(self.data), "mode": dict(self.mode), "declared": self.declared}
        return made | {name: value for name, value in more.items() if value}


@dataclass(frozen=True, slots=True)
class Example:
    """A row in which something was found.

    Attributes:
        file: the file, or the name of the source for rows in memory.
        line: the line, from 1; None for files without lines.
        number: the index of the row in the file, from 0.
        detail: the part of the row that shows it.
    """

    file: str
    line: int | None
    number: int
    detail: str = ""

    @property
    def place(self) -> str:
        """``file:line``, or ``file[number]`` for files without lines."""
        return row_place(self.file, self.line, self.number)

    def to_dict(self) -> dict[str, Any]:
        """Return the example as JSON types."""
        made = {"place": self.place, "file": self.file, "line": self.line, "number": self.number}
        return {**made, "detail": self.detail} if self.detail else made


@dataclass(frozen=True, kw_only=True)
class DataDiagnostic(Diagnostic):
    """A finding in the rows of a data set.

    Attributes:
        name: the name of the check.
        key: what distinguishes it from other findings of the same check: a field, a reason, a source.
        count: the number of rows it was found in.
        share: ``count`` as a fraction of all rows.
        amount: the number of occurrences, where a row can have several.
        unit: what ``amount`` counts.
        examples: the first such rows.
        sources: the number of such rows in each source.
    """

    name: str
    key: str
    count: int
    share: float
    amount: int
    examples: tuple[Example, ...]
    sources: Mapping[str, int] = field(default_factory=dict)
    unit: str = "times"

    @property
    def locations(self) -> tuple[Location, ...]:
        """The rows of the examples."""
        found = []
        for one in self.examples:
            parts = [f"row {one.number}" if one.line is None else "", one.detail]
            found.append(Location(one.file, one.line, None, ": ".join(filter(None, parts))))
        return tuple(found)

    def __str__(self) -> str:
        where = f" ({', '.join(example.place for example in self.examples)})" if self.examples else ""
        return f"{self.code} {self.name}: {self.message}: {self.count:,} ({self.share:.1%}){where}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types."""
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
