"""Evidence from tracing: the characters of each part of the source that should be generated."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chattmpl.laws.law import Case
from chattmpl.rewrite.annotate.target_spans import TargetSpan
from chattmpl.rewrite.annotate.trace import Trace, WrittenRange


@dataclass(frozen=True)
class Observation:
    """One text that a part wrote.

    Attributes:
        length: number of characters.
        inside: half-open ranges of the text that should be generated, from the start of the text.
        facts: facts about the message that was being rendered; see `chattmpl.rewrite.annotate.guards.FACTS`.
        foreign: whether some of it comes from a message of another role than the assistant.
        before: the text before the one range that should be generated and reaches to the end; else empty.
    """

    length: int
    inside: tuple[tuple[int, int], ...]
    facts: frozenset[str]
    foreign: bool = False
    before: str = ""

    def holds(self, start: int, end: int) -> bool | None:
        """Return whether a range of the text should be generated; None if only a part of it should."""
        within = sum(min(end, stop) - max(start, begin) for begin, stop in self.inside if begin < end and stop > start)
        return False if within == 0 else True if within == end - start else None


@dataclass
class Evidence:
    """Observations by the offset of the part in the source.

    Attributes:
        trace_key: the name of the reasoning field that the template reads.
        ends_late: whether turns end with a token with which the next turn begins.
        sure: observations in turns without an obstacle.
        modal: observations in such turns under kwargs.
        rough: observations in turns with an obstacle, whose target span is a guess.
    """

    trace_key: str = "reasoning_content"
    ends_late: bool = False
    sure: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    modal: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    rough: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))

    def of(self, part: int) -> list[Observation]:
        """Return the observations of a part with the most weight."""
        return self.sure.get(part) or self.modal.get(part) or self.rough.get(part) or []

    def all_of(self, part: int) -> list[Observation]:
        """Return the observations of a part in turns without an obstacle, under any kwargs."""
        return [*self.sure.get(part, ()), *self.modal.get(part, ())]

    def guessed(self, part: int) -> bool:
        """Return whether a part wrote only in turns with an obstacle, so that any tags will do."""
        return not self.sure.get(part) and not self.modal.get(part)

    def parts(self) -> set[int]:
        """Return the offsets of all parts that wrote something."""
        return {*self.sure, *self.modal, *self.rough}

    def add(self, case: Case, trace: Trace, targets: Iterable[TargetSpan], *, deep: bool) -> None:
        """Add the observations of one conversation."""
        targets = list(targets)
        ranges = [(target.start, target.end) for target in targets]
        # A guess for a turn with an obstacle says nothing about other turns.
        valid = [(target.start, target.end) for target in targets if target.obstacle is None]
        blurred = {target.turn for target in targets if target.obstacle is not None}
        blurred |= {turn + 1 for turn in blurred if self.ends_late}
        turns, others = _turns(case)
        latest: list[int | None] = []
        for each in turns:
            latest.append(each if each is not None or not latest else latest[-1])
        known = [_facts(case, turn, self.trace_key) for turn in range(len(case.messages))]
        settings = frozenset(f"{name}={value!r}" for name, value in case.kwargs.items())
        wrote: set[tuple[int | None, int]] = set()
        for written in trace.inner if deep else trace.outer:
            if written.start == written.end:
                continue
            turn, last = turns[written.start], latest[written.start]
            facts = settings if turn is None else known[turn] | settings
            if turn is None and last is not None and case.messages[last].role == "assistant":
                facts |= {"answered"}
            if (turn, written.part) not in wrote:
                facts |= {"first"}
            wrote.add((turn, written.part))
            foreign = any(others[written.start : written.end])
            unsure = turn in blurred or (turn is None and last in blurred)
            inside = _within(written, ranges if unsure else valid)
            length = written.end - written.start
            begun = inside[0][0] if len(inside) == 1 and inside[0][1] == length else 0
            before = trace.text[written.start : written.start + begun]
            seen = Observation(length, inside, facts, foreign, before)
            tier = self.rough if unsure else self.modal if case.kwargs else self.sure
            tier[written.part].append(seen)


def _turns(case: Case) -> tuple[list[int | None], list[bool]]:
    """Return for each character its turn, and whether it comes from a message of another role than the assistant."""
    turns: list[int | None] = []
    others: list[bool] = []
    for span in case.rendering.spans:
        length = span.end - span.start
        turns += [span.turn] * length
        foreign = span.message is not None and case.messages[span.message].role != "assistant"
        others += [foreign and span.field != "role"] * length
    return turns, others


def _facts(case: Case, turn: int, trace_key: str) -> frozenset[str]:
    message = case.messages[turn]
    true = {
        "assistant": message.role == "assistant",
        "content": bool(message.content),
        "calls": bool(message.tool_calls),
        # Templates see `reasoning` only in messages that have it under that name.
        "reasoning": bool(message.reasoning_content and message.to_template_input().get(trace_key)),
        "last": turn == len(case.messages) - 1,
        "answered": turn > 0 and case.messages[turn - 1].role == "assistant",
        "result": turn > 0 and case.messages[turn - 1].role == "tool",
    }
    return frozenset(fact for fact, holds in true.items() if holds)


def _within(written: WrittenRange, ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (max(start - written.start, 0), min(end, written.end) - written.start)
        for start, end in ranges
        if start < written.end and end > written.start
    )
