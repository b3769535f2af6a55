"""What tracing says of each part of a source: generated, not generated, or both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chattmpl.laws.law import Case
from chattmpl.rewrite.annotate.target_spans import TargetSpan
from chattmpl.rewrite.annotate.trace import Trace, WrittenRange


@dataclass(frozen=True)
class Observation:
    """A part that wrote something, once.

    Attributes:
        length: how many characters.
        inside: which of them are to be generated, as half-open ranges from the start of the part.
        facts: what is true of the message that was being rendered; see `chattmpl.rewrite.annotate.guards.FACTS`.
        foreign: whether some of it comes from another message than the assistant's.
    """

    length: int
    inside: tuple[tuple[int, int], ...]
    facts: frozenset[str]
    foreign: bool = False

    def holds(self, start: int, end: int) -> bool | None:
        """Whether a range of the part is to be generated; None if some of it is."""
        within = sum(min(end, stop) - max(start, begin) for begin, stop in self.inside if begin < end and stop > start)
        return False if within == 0 else True if within == end - start else None


@dataclass
class Evidence:
    """What was seen, by the offset of the part in the source.

    Attributes:
        sure: in turns that can be lawful.
        modal: in such turns, where kwargs are set.
        rough: in turns that cannot be, where it says only what would be best.
    """

    sure: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    modal: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    rough: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))

    def of(self, part: int) -> list[Observation]:
        """What counts for a part."""
        return self.sure.get(part) or self.modal.get(part) or self.rough.get(part) or []

    def all_of(self, part: int) -> list[Observation]:
        """What counts for a part, with what it wrote where kwargs are set."""
        return [*self.sure.get(part, ()), *self.modal.get(part, ())]

    def guessed(self, part: int) -> bool:
        """Whether a part wrote only in turns that cannot be lawful, so that any tags will do."""
        return not self.sure.get(part) and not self.modal.get(part)

    def parts(self) -> set[int]:
        """All parts that wrote something."""
        return {*self.sure, *self.modal, *self.rough}

    def add(self, case: Case, trace: Trace, targets: Iterable[TargetSpan], *, deep: bool) -> None:
        """What one conversation shows."""
        targets = list(targets)
        ranges = [(target.start, target.end) for target in targets]
        # What would be best for a turn that cannot be lawful says nothing of the turns beside it.
        lawful = [(target.start, target.end) for target in targets if target.obstacle is None]
        blurred = {target.turn for target in targets if target.obstacle is not None}
        turns, others = _turns(case)
        known = [_facts(case, turn) for turn in range(len(case.messages))]
        set_ = frozenset(f"{name}={value!r}" for name, value in case.kwargs.items())
        wrote: set[tuple[int | None, int]] = set()
        for written in trace.inner if deep else trace.outer:
            if written.start == written.end:
                continue
            turn = turns[written.start]
            facts = set_ if turn is None else known[turn] | set_
            if (turn, written.part) not in wrote:
                facts |= {"first"}
            wrote.add((turn, written.part))
            foreign = any(others[written.start : written.end])
            inside = _within(written, ranges if turn in blurred else lawful)
            seen = Observation(written.end - written.start, inside, facts, foreign)
            tier = self.rough if turn in blurred else self.modal if case.kwargs else self.sure
            tier[written.part].append(seen)


def _turns(case: Case) -> tuple[list[int | None], list[bool]]:
    """For each character its turn, and whether it comes from a message that is not the assistant's."""
    turns: list[int | None] = []
    others: list[bool] = []
    for span in case.rendering.spans:
        length = span.end - span.start
        turns += [span.turn] * length
        foreign = span.message is not None and case.messages[span.message].role != "assistant"
        others += [foreign and span.field != "role"] * length
    return turns, others


def _facts(case: Case, turn: int) -> frozenset[str]:
    message = case.messages[turn]
    true = {
        "assistant": message.role == "assistant",
        "content": bool(message.content),
        "calls": bool(message.tool_calls),
        "reasoning": bool(message.reasoning_content),
        "last": turn == len(case.messages) - 1,
    }
    return frozenset(fact for fact, holds in true.items() if holds)


def _within(written: WrittenRange, ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (max(start - written.start, 0), min(end, written.end) - written.start)
        for start, end in ranges
        if start < written.end and end > written.start
    )
