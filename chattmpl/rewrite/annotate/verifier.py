"""Checks of a template with new tags: it renders the same texts, and its mask obeys the laws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, evaluate, laws_named
from chattmpl.laws.outcome import Counterexample, Holds
from chattmpl.rewrite.annotate.span_labels import content, parts_of
from chattmpl.rewrite.annotate.target_spans import AnswerFrame, Obstacle, TargetSpan, echoes, target_spans
from chattmpl.rewrite.annotate.trace import Tracer
from chattmpl.rewrite.proof import Failure, FailureKind, Note, Proof, ProofNoteKind, no_longer_fails
from chattmpl.syntax.items import Block, Item, Output, Text
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering, Template

LAWS = ("sampled", "stop", "pure")
"""The laws of the mask."""


@dataclass(frozen=True)
class Exemption:
    """A law that the template breaks for some conversations, whatever its tags.

    Attributes:
        obstacle: what the template does.
        conversation, kwargs: the smallest case that was seen.
        field: the field that is rendered twice, without indices, where one is.
        error: the error that the template raised, if it did.
    """

    law: str
    obstacle: Obstacle
    conversation: Conversation
    kwargs: dict[str, Any]
    field: str = ""
    error: ChatTmplError | None = None

    @property
    def why(self) -> str:
        """The reason, for people."""
        if self.field:
            return self.obstacle.value.why.replace("a field of an assistant message", self.field)
        return self.obstacle.value.why if self.error is None else f"{self.obstacle.value.why}: {self.error.message}"

    @property
    def hint(self) -> str:
        """The way to deal with it, for people."""
        return self.obstacle.value.hint

    def covers(self, other: Exemption) -> bool:
        """Return whether this exemption makes another one redundant."""
        same = (self.law, self.obstacle, self.field) == (other.law, other.obstacle, other.field)
        # A law that holds in no mode is mentioned once.
        return same and _place(self.error) == _place(other.error) and self.kwargs in ({}, other.kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Return the exemption as JSON data."""
        return {
            "law": self.law,
            "why": self.why,
            "conversation": self.conversation.dump(),
            "kwargs": self.kwargs,
            "way_out": self.hint,
        }


@dataclass
class AnnotationProof(Proof):
    """Record of the checks of a template with new tags.

    Attributes:
        stops: the stop tokens.
        exceptions: laws that cannot hold for some conversations.
    """

    stops: tuple[str, ...] = ()
    exceptions: list[Exemption] = field(default_factory=list)

    def exempt(self, exemption: Exemption) -> None:
        """Add an exemption, or its conversation to a known one if it is the smaller one."""
        for index, known in enumerate(self.exceptions):
            if known.covers(exemption):
                if known.kwargs == exemption.kwargs and _size(exemption.conversation) < _size(known.conversation):
                    self.exceptions[index] = exemption
                return
        self.exceptions.append(exemption)

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as JSON data."""
        exceptions = [exemption.to_dict() for exemption in self.exceptions]
        return {**super().to_dict(), "stops": list(self.stops), "exceptions": exceptions}


class AnnotationVerifier:
    """Compares texts before and after new tags, and checks the laws of the mask where the rendering allows them."""

    def __init__(self, before: Template, after: Template, frame: AnswerFrame) -> None:
        self._before = before
        self._after = after
        self._frame = frame
        eos = before.tokens.get("eos_token")
        # The law knows control tokens only; other stop tokens that a user names are compared with target spans.
        known = all(stop == eos or CONTROL.fullmatch(stop) for stop in frame.stop_tokens)
        self._laws = laws_named(name for name in LAWS if known or name != "stop")

    def check(self, conversation: Conversation, kwargs: dict[str, Any], proof: AnnotationProof) -> Failure | None:
        """Check one conversation, and add the results to the proof."""
        old, new = Case(self._before, conversation, kwargs), Case(self._after, conversation, kwargs)
        failure = _compare_texts(old, new, proof)
        if failure is None and _rendered(old, prompt=False) is not None:
            failure = self._check_mask(old, new, proof)
        return failure

    def _check_mask(self, old: Case, new: Case, proof: AnnotationProof) -> Failure | None:
        conversation, kwargs = old.conversation, old.kwargs
        targets = list(target_spans(old, self._frame))
        impossible = [target for target in targets if target.obstacle is not None]
        for target in targets:
            obstacle = Obstacle.NO_LAST_STOP if target.unended else target.obstacle
            if obstacle is not None:
                proof.exempt(Exemption(obstacle.law, obstacle, conversation, kwargs, error=target.error))
        wrong = next(_misplaced(new, targets, ends_late=not self._frame.stop_tokens), None)
        if wrong is not None:
            return _failure(FailureKind.MASK, wrong, old)
        # The laws are about all turns of a conversation; a mask as wanted obeys them for the last one.
        for law in self._laws if len(targets) == len(old.assistant_turns()) else ():
            if law.name == "pure" and (repeated := echoes(old)):
                repeated_field = re.sub(r"\[\d+\]", "[]", repeated[0].field or "text of an answer")
                proof.exempt(Exemption("pure", Obstacle.REPEATED, conversation, kwargs, repeated_field))
                continue
            outcome = evaluate(law, new)
            if isinstance(outcome, Holds):
                proof.held[law.name] += 1
            elif isinstance(outcome, Counterexample):
                excuse = _excuse(outcome, impossible)
                if excuse is None or excuse.obstacle is None:
                    return Failure(FailureKind.LAW, outcome)
                proof.exempt(Exemption(law.name, excuse.obstacle, conversation, kwargs, error=excuse.error))
        return None


def _compare_texts(old: Case, new: Case, proof: AnnotationProof) -> Failure | None:
    for prompt in (False, True):
        expected, got = _rendered(old, prompt=prompt), _rendered(new, prompt=prompt)
        proof.texts += 1
        proof.refused += expected is None
        if expected is None and no_longer_fails(old.template, got, old.kwargs, prompt):
            continue
        if (expected is None) != (got is None):
            verb = "is" if got is None else "is no longer"
            return _failure(FailureKind.REFUSAL, f"a conversation {verb} refused", old)
        if expected is not None and got is not None and expected.text != got.text:
            return _failure(FailureKind.TEXT, "the text changes", old, expected.text, got.text)
    return None


def _failure(
    kind: FailureKind, message: str, case: Case, expected: str | None = None, got: str | None = None
) -> Failure:
    return Failure(kind, Counterexample(kind.value, message, case.conversation, case.kwargs, expected, got))


def _excuse(found: Counterexample, impossible: list[TargetSpan]) -> TargetSpan | None:
    """Return a turn that no tags can make valid, if the counterexample is about such turns only."""
    about = set(found.turns)
    first = next((target for target in impossible if target.turn in about), None)
    return first if about <= {target.turn for target in impossible} else None


def _rendered(case: Case, *, prompt: bool) -> Rendering | None:
    try:
        return case.head(len(case.messages), prompt=prompt)
    except ChatTmplError:
        return None


def _misplaced(case: Case, targets: list[TargetSpan], *, ends_late: bool) -> Iterator[str]:
    """Yield the differences of the mask from the targets; a turn with an obstacle may have any mask within it."""
    rendering, text, answers = case.rendering, case.rendering.text, set(case.assistant_turns())
    free = {target.turn for target in targets if target.obstacle is not None}
    wanted = [(target.start, target.end) for target in targets if target.obstacle is None]
    own, latest = answers | {None}, None
    for span in rendering.spans:
        before = latest if span.turn is None else span.turn - 1 if ends_late else None
        latest = latest if span.turn is None else span.turn
        if (span.message is None and before in free) or (span.turn in free and span.message in own):
            wanted.append((span.start, span.end))
    for start, end in _outside(rendering.generated, wanted):
        yield f"{text[start:end]!r} is generated, but not sampled by the model"
    for target in targets:
        for start, end in _outside([(target.start, target.end)], rendering.generated) if not target.obstacle else ():
            yield f"in messages[{target.turn}] {text[start:end]!r} is not generated"
    prompted = _rendered(case, prompt=True)
    if prompted is not None and prompted.text.startswith(rendering.text):
        late = [end for _, end in prompted.generated if end > len(rendering.text)]
        if late:
            yield f"{prompted.text[len(rendering.text) : late[-1]]!r} in the generation prompt is generated"


def _outside(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the remaining parts of ranges without the characters of others."""
    others = sorted(others)
    for start, end in ranges:
        for begin, stop in others:
            if begin < end and stop > start:
                if begin > start:
                    yield start, begin
                start = stop
        if start < end:
            yield start, end


def _place(error: ChatTmplError | None) -> tuple[int, int] | None:
    return None if error is None or error.place is None else (error.place.start, error.place.end)


def _size(conversation: Conversation) -> int:
    return len(str(conversation.dump()))


def unreached_lines(template: Template, cases: list[Case]) -> list[Note]:
    """Return notes with the lines in or next to the assistant's turns that no case reached, and their label."""
    tracer = Tracer(template, bold=False)
    seen: set[int] = set()
    for case in cases:
        trace = tracer.trace(case.conversation, case.kwargs)
        seen |= {written.part for one in (trace.outer, trace.inner) for written in one}
    source = template.program.source
    lines: dict[tuple[bool, int], None] = {}
    for item, generated in _parts_near_tags(tracer.tree.body, inside=False, near=False):
        parts = [part.start for part in parts_of(item.expression)] if isinstance(item, Output) else [item.start]
        text = item.text
        if seen.isdisjoint(parts) and text.strip() and "raise_exception" not in text:
            lines[generated, source.position(item.start)[0]] = None
    notes = []
    for generated in (True, False):
        numbers = sorted(line for kind, line in lines if kind == generated)
        if numbers:
            which = f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
            assumed = "generated" if generated else "not generated"
            text = f"no conversation reached {which}, assumed to be {assumed}: check by hand"
            notes.append(Note(ProofNoteKind.UNREACHED, text))
    return notes


def _parts_near_tags(body: Sequence[Item], *, inside: bool, near: bool) -> Iterator[tuple[Text | Output, bool]]:
    """Yield texts and outputs inside generation tags, and those next to such a tag in the same branch."""
    near = near or any(isinstance(item, Block) and item.name == "generation" for item in body)
    for item in content(body):
        if isinstance(item, (Text, Output)):
            if inside or near:
                yield item, inside
        elif isinstance(item, Block):
            within = inside or item.name == "generation"
            for inner in item.bodies:
                # At the root of a loop over all messages are the turns of other roles.
                yield from _parts_near_tags(inner, inside=within, near=near and item.name == "if")
