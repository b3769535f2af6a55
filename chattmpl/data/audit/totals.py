"""What an audit keeps of the rows: counts for each source, and a few bytes for each row, to know it again."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from chattmpl.data.audit.finding import Example
from chattmpl.data.reasoning_mode import Mode, Switch
from chattmpl.data.survey import ScannedRow


@dataclass
class SourceTotals:
    """What is known of the rows of a source.

    Attributes:
        rows, encoded: how many there are, and how many can be encoded.
        drawn: how many examples a mixture makes of those that can be encoded, repetitions included.
        tokens: how many tokens these have.
        modes: the reasoning modes that their data shows.
        asked: the modes that they ask for, or, where they ask for none, show.
        multi: rows with answers to more than one question.
        reasoning, reasoning_multi: rows with reasoning, and those with it that answer more than one question.
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
        """Adds the rows of another process."""
        for name in ("rows", "encoded", "drawn", "tokens", "multi", "reasoning", "reasoning_multi"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.modes.update(other.modes)
        self.asked.update(other.asked)
        self.first_reasoning = [*self.first_reasoning, *other.first_reasoning][:examples]


@dataclass
class Digests:
    """For each row a number that stands for its conversation, one for its text, and its place: 28 bytes a row."""

    conversation: array[int] = field(default_factory=lambda: array("Q"))
    text: array[int] = field(default_factory=lambda: array("Q"))
    line: array[int] = field(default_factory=lambda: array("Q"))
    file: array[int] = field(default_factory=lambda: array("I"))
    files: dict[tuple[str, str, bool], int] = field(default_factory=dict)

    def add(self, scanned: ScannedRow, conversation: int, text: int) -> None:
        """Notes a row."""
        key = (scanned.source, scanned.file, scanned.line is not None)
        self.conversation.append(conversation)
        self.text.append(text)
        self.line.append(scanned.number if scanned.line is None else scanned.line)
        self.file.append(self.files.setdefault(key, len(self.files)))

    def join(self, other: Digests) -> None:
        """Notes the rows of another process."""
        moved = [self.files.setdefault(key, len(self.files)) for key in other.files]
        self.conversation += other.conversation
        self.text += other.text
        self.line += other.line
        self.file.extend(moved[index] for index in other.file)

    def repeats(self, *, rendered: bool) -> Iterator[tuple[int, int]]:
        """Rows that repeat an earlier one, with the first one that they repeat; in order.

        Args:
            rendered: of equal texts, those of different conversations; else of equal conversations.
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
        """The source of a row."""
        return self._key(row)[0]

    def example(self, row: int, first: int) -> Example:
        """A row as an example, with the place of the one that it repeats."""
        one, other = self._example(row), self._example(first)
        return Example(one.file, one.line, one.number, f"as {other.place}")

    def _key(self, row: int) -> tuple[str, str, bool]:
        return list(self.files)[self.file[row]]

    def _example(self, row: int) -> Example:
        _, file, lined = self._key(row)
        number = self.line[row]
        return Example(file, number, number - 1) if lined else Example(file, None, number)


def _firsts(values: np.ndarray) -> np.ndarray:
    """For each value the index of the first that is equal."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


@dataclass
class Totals:
    """All of it.

    Attributes:
        sources: by name, in their order.
        digests: to find rows that repeat others.
        switch: how the template is told to reason.
    """

    switch: Switch
    sources: dict[str, SourceTotals] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(source.rows for source in self.sources.values())

    @property
    def drawn(self) -> int:
        """All examples that can be encoded, repetitions included."""
        return sum(source.drawn for source in self.sources.values())

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(source.tokens for source in self.sources.values())

    def modes(self) -> Counter[Mode]:
        """The modes of all rows."""
        total: Counter[Mode] = Counter()
        for source in self.sources.values():
            total.update(source.asked)
        return total
