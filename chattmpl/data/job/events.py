"""Events of a job: its notes and its progress, as data."""

from __future__ import annotations

import mmap
import os
import struct
import time
import warnings
from collections.abc import Callable, Mapping
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

    def reading(self, name: str, size: int) -> None:
        """Receive the name of a file before it is first read, and its bytes; 0 if it is compressed."""

    def begins(self, phase: Phase, total: int, done: int) -> None:
        """Receive the start of a pass over the data, with its bytes in total and those done by an earlier run."""

    def advances(self, weight: int, counts: Counts) -> None:
        """Receive the number of further bytes that are done, and their counts."""

    def reads(self, size: int) -> None:
        """Receive the bytes that were read since a file or a pass began; not from the machines of a Ray cluster."""


class Meter:
    """Number of bytes that this process and its forks have read, in memory that they share."""

    _SIZE = struct.Struct("q")
    _SLOTS = 256
    _SECONDS = 0.2
    """Seconds between two reports."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._SLOTS * self._SIZE.size)
        self._owner, self._base, self._last = os.getpid(), 0, 0.0
        self._report: Callable[[int], None] = lambda size: None

    def __reduce__(self) -> tuple[type[Meter], tuple[()]]:
        return Meter, ()

    def start(self, report: Callable[[int], None]) -> None:
        """Start a pass, and report the bytes read in it to a function."""
        self._base, self._report = self._total(), report

    def add(self, size: int) -> None:
        """Count bytes of this process."""
        at = os.getpid() % self._SLOTS * self._SIZE.size
        self._SIZE.pack_into(self._shared, at, self._SIZE.unpack_from(self._shared, at)[0] + size)
        self.show()

    def show(self) -> None:
        """Report the bytes read so far, unless this is another process or it was done just now."""
        if os.getpid() == self._owner and time.monotonic() - self._last > self._SECONDS:
            self._last = time.monotonic()
            self._report(self._total() - self._base)

    def _total(self) -> int:
        return sum(size for (size,) in self._SIZE.iter_unpack(self._shared[:]))
