"""Events of a job: its notes and its progress, as data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chattmpl.data.template_notes import TemplateWarning

Counts = dict[str, Any]
"""Numbers by name, possibly in nested groups: plain JSON."""


class JobNoteKind(StrEnum):
    """The kind of a note; `chattmpl.report.encoded.note_text` has the words."""

    NO_FAST_PATH = "no-fast-path"
    """All rows take the exact path: ``template`` and ``reasons``."""
    TEMPLATE = "template"
    """A note on the template: ``note``, a `TemplateNote`."""
    FAST_PATH_WRONG = "fast-path-wrong"
    """The fast path gave wrong results and was abandoned: ``rows``, the number of them."""
    EMPTY_FILE = "empty-file"
    """A file without rows is skipped: ``path``."""
    FINISHED_BEFORE = "finished-before"
    """An earlier run finished the job, so nothing is left to do."""
    READING = "reading"
    """A note on the reading of rows: ``note``, a `ReadingNote`, and ``rows``, the number of them."""


@dataclass(frozen=True, slots=True)
class JobNote:
    """A note about a job: its kind, and the fields that the kind has."""

    kind: JobNoteKind
    data: Mapping[str, Any] = field(default_factory=dict)


class Phase(StrEnum):
    """A pass over the data."""

    COUNT = "counting tokens"
    ENCODE = "encoding"
    SCAN = "scanning"


class Watcher:
    """Receiver of the events of a job; its methods do nothing, but notes on the template are warnings."""

    def note(self, note: JobNote) -> None:
        """Receive a note for the user."""
        if note.kind is JobNoteKind.TEMPLATE:
            warnings.warn(note.data["note"].message(), TemplateWarning, stacklevel=2)

    def reading(self, name: str) -> None:
        """Receive the name of a file before it is first read."""

    def begins(self, phase: Phase, total: int, done: int) -> None:
        """Receive the start of a pass over the data, with its bytes in total and those done by an earlier run."""

    def advances(self, weight: int, counts: Counts) -> None:
        """Receive the number of further bytes that are done, and their counts."""
