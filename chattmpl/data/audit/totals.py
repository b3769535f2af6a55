"""The thresholds of an audit, counts of rows by source, and digests that find repeated rows."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from chattmpl.data.reasoning_mode import Mode, Switch
from chattmpl.data.survey import ScannedRow
from chattmpl.diagnostic import Example
from chattmpl.errors import UsageError
from chattmpl.options import check_options


@dataclass(frozen=True)
class AuditSettings:
    """The thresholds of an audit.

    Attributes:
        max_length: the most tokens of a row in training; None if there is no limit.
        share_ratio: the ratio of a source's share of tokens to its share of examples, or the inverse, to report.
        share_points: the smallest difference of the two shares to report.
        hybrid: whether the data should have both reasoning modes; None to derive it from the data.
        examples: the most examples of a finding.
        tolerated: by code, the share of rows up to which a finding is only a note.
    """

    max_length: int | None = None
    share_ratio: float = 2.0
    share_points: float = 0.05
    hybrid: bool | None = None
    examples: int = 5
    tolerated: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(max_length=self.max_length)
        if self.share_ratio < 1:
            raise UsageError(f"share_ratio must be at least 1, not {self.share_ratio}", option="share_ratio")
        if self.examples < 0:
            raise UsageError(f"examples must be at least 0, not {self.examples}", option="examples")


@dataclass
class SourceTotals:
    """Counts of the rows of a source.

    Attributes:
        rows, encoded: the number of rows, and of those that can be encoded.
        drawn: the number of examples that a mixture draws from the encoded rows, repetitions included.
        tokens: the number of tokens in these.
        modes: the reasoning modes of the data.
        asked: the reasoning modes that the rows request, or those of the data if they request none.
        multi: rows with answers to more than one question.
        reasoning, reasoning_multi: rows with reasoning, and those of them with answers to more than one question.
        first_reasoning: the first rows with reasoning.
    """

    rows: int = 0
    encoded: int = 0
    drawn: int = 0
    tokens: int = 0
    modes: Counter[Mode] = field(default_factory=Counter)
    asked: Counter[Mode] = field(default_factory=Counter)
    multi: int = 0
    reasoning: int = 0
    reasoning_multi: int = 0
    first_reasoning: list[Example] = field(default_factory=list)

    def add(self, other: SourceTotals, examples: int) -> None:
        """Add the rows of another process."""
        for name in ("rows", "encoded", "drawn", "tokens", "multi", "reasoning", "reasoning_multi"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.modes.update(other.modes)
        self.asked.update(other.asked)
        self.first_reasoning = [*self.first_reasoning, *other.first_reasoning][:examples]


@dataclass
class Digests:
    """A hash of the conversation, a hash of the text, and the place of each row: 28 bytes a row."""

    conversation: array[int] = field(default_factory=lambda: array("Q"))
    text: array[int] = field(default_factory=lambda: array("Q"))
    line: array[int] = field(default_factory=lambda: array("Q"))
    file: array[int] = field(default_factory=lambda: array("I"))
    files: dict[tuple[str, str, bool], int] = field(default_factory=dict)

    def add(self, scanned: ScannedRow, conversation: int, text: int) -> None:
        """Add a row."""
        key = (scanned.source, scanned.file, scanned.line is not None)
        self.conversation.append(conversation)
        self.text.append(text)
        self.line.append(scanned.number if scanned.line is None else scanned.line)
        self.file.append(self.files.setdefault(key, len(self.files)))

    def join(self, other: Digests) -> None:
        """Add the rows of another process."""
        moved = [self.files.setdefault(key, len(self.files)) for key in other.files]
        self.conversation += other.conversation
        self.text += other.text
        self.line += other.line
        self.file.extend(moved[index] for index in other.file)

    def repeats(self, *, rendered: bool) -> Iterator[tuple[int, int]]:
        """Yield the rows that repeat an earlier one, each with the first row that it repeats, in order.

        With ``rendered``, the texts of different conversations are compared and not the conversations.
        """
        conversations = np.frombuffer(self.conversation, dtype=np.uint64)
        firsts = _firsts(conversations)
        if not rendered:
            repeats = np.flatnonzero(firsts != np.arange(len(firsts)))
            yield from ((int(row), int(firsts[row])) for row in repeats)
            return
        distinct = np.flatnonzero(firsts == np.arange(len(firsts)))
        among = _firsts(np.frombuffer(self.text, dtype=np.uint64)[distinct])
        for row in np.flatnonzero(among != np.arange(len(among))):
            yield int(distinct[row]), int(distinct[among[row]])

    def source(self, row: int) -> str:
        """Return the source of a row."""
        return self._key(row)[0]

    def example(self, row: int, first: int) -> Example:
        """Return a row as an example, with the place of the row that it repeats."""
        one, other = self._example(row), self._example(first)
        return Example(one.file, one.line, one.number, f"as {other.place}")

    def _key(self, row: int) -> tuple[str, str, bool]:
        return list(self.files)[self.file[row]]

    def _example(self, row: int) -> Example:
        _, file, lined = self._key(row)
        number = self.line[row]
        return Example(file, number, number - 1) if lined else Example(file, None, number)


def _firsts(values: np.ndarray) -> np.ndarray:
    """Return for each value the index of the first equal value."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


@dataclass
class Totals:
    """Counts of all rows.

    Attributes:
        switch: the template kwarg that switches reasoning.
        sources: the counts by source, in order.
        digests: the hashes of all rows.
    """

    switch: Switch
    sources: dict[str, SourceTotals] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(source.rows for source in self.sources.values())

    @property
    def drawn(self) -> int:
        """The number of examples drawn, repetitions included."""
        return sum(source.drawn for source in self.sources.values())

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return sum(source.tokens for source in self.sources.values())

    def modes(self) -> Counter[Mode]:
        """Return the reasoning modes of all rows."""
        total: Counter[Mode] = Counter()
        for source in self.sources.values():
            total.update(source.asked)
        return total
