"""The base class of audit checks, and their registry.

A check imports what it needs for its findings from here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from chattmpl.conversation.notes import NoteKind
from chattmpl.data.audit.row_view import RowView, empty
from chattmpl.data.audit.totals import AuditSettings, Totals
from chattmpl.data.reading import concerns
from chattmpl.diagnostic import Example, Severity
from chattmpl.rule_registry import Entry, Registry

__all__ = ["GROUPS", "SECTIONS", "AuditSettings", "Check", "DatasetFinding", "DatasetFindings", "NoteCheck", "NoteKind"]
__all__ += ["RowFinding", "RowFindings", "RowView", "Totals", "all_checks", "check_named", "chosen", "empty"]
__all__ += ["repeated_rows"]

GROUPS = {
    "AU1": "What is trained",
    "AU2": "System prompts and fields",
    "AU3": "Reasoning",
    "AU4": "Control tokens",
    "AU5": "Tools",
    "AU6": "The mixture",
}
"""The first three characters of a code, and the subject of its checks."""

SECTIONS = ("What it does", "Why is this bad?", "What to do")
"""The headings of a check's documentation, in order."""


class RowFinding(NamedTuple):
    """A finding in one row.

    Attributes:
        key: findings of a check with the same key are reported as one.
        detail: the part of the row that shows it.
        amount: the number of occurrences in the row.
        severity: the severity, if not that of the check; the same for all findings with this key.
        hint: how to fix it, if not as the check says; that of the first row is reported.
    """

    key: str = ""
    detail: str = ""
    amount: int = 1
    severity: Severity | None = None
    hint: str | None = None


class DatasetFinding(NamedTuple):
    """A finding in the whole data set.

    Attributes:
        key: as in `RowFinding`.
        rows: the number of rows concerned.
        examples: some of them.
        detail: a value for the message.
        severity: the severity, if not that of the check.
        sources: the number of such rows in each source.
        kind: the key of the check's messages, if not ``key``.
    """

    key: str
    rows: int
    examples: tuple[Example, ...] = ()
    detail: str = ""
    severity: Severity | None = None
    sources: Mapping[str, int] = {}
    kind: str | None = None


RowFindings = Iterator[RowFinding]
DatasetFindings = Iterator[DatasetFinding]


class Check(Entry):
    """A defect that a data set can have.

    Attributes:
        message: the pattern of the message, by kind if there are several; ``{key}`` and ``{detail}`` are fields of the
            finding. The kind of a finding in a row is its key.
        hint: how to fix it.
        unit: what ``amount`` counts.
        needs_row: whether only rows that can be encoded are checked.
    """

    message: ClassVar[str | Mapping[str, str]]
    hint: ClassVar[str]
    unit: ClassVar[str] = "times"
    needs_row: ClassVar[bool] = True

    def check_row(self, view: RowView) -> RowFindings:
        """Yield the findings in one row."""
        yield from ()

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        """Yield the findings in the whole data set."""
        yield from ()

    @classmethod
    def documentation(cls) -> str:
        """Return the docstring in Markdown; unless it says what to do, the hint does."""
        text, heading = super().documentation(), f"## {SECTIONS[-1]}"
        return text if heading in text else f"{text}\n\n{heading}\n\n{cls.hint[:1].upper()}{cls.hint[1:]}."


class NoteCheck(Check):
    """A check that reports notes of some kinds on how rows were read; the key is what the note is about."""

    notes: ClassVar[tuple[NoteKind, ...]]
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        """Yield the notes on one row that concern the template."""
        for note in view.scanned.notes:
            if note.kind in self.notes and concerns(note, view.encoder.template):
                yield RowFinding(note.name, note.target)


def repeated_rows(totals: Totals, settings: AuditSettings, *, rendered: bool) -> DatasetFindings:
    """Yield a finding if rows repeat an earlier one; see `Digests.repeats`."""
    digests = totals.digests
    repeats = list(digests.repeats(rendered=rendered))
    if repeats:
        sources = Counter(digests.source(row) for row, _ in repeats)
        examples = tuple(digests.example(*pair) for pair in repeats[: settings.examples])
        yield DatasetFinding("", len(repeats), examples, sources=sources)


CHECKS: Registry[Check] = Registry("chattmpl.data.audit.checks", Check, "check")
all_checks, check_named, chosen = CHECKS.entries, CHECKS.named, CHECKS.select
