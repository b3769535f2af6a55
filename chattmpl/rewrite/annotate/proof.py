"""Whether a template with new tags renders what it rendered, and obeys the laws of the mask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, Law, evaluate, laws_named
from chattmpl.laws.outcome import Counterexample, Holds
from chattmpl.rewrite.annotate.target_spans import Stops, TargetSpan, echoes, target_spans
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Rendering, Template

LAWS = ("sampled", "stop", "pure")
"""The laws of the mask."""

_WAYS_OUT = {
    "history": "train on one row for each assistant turn (unroll), or have it keep what was sampled: chattmpl retain",
    "prompt": "leave such conversations out, or mend what the template renders after the generation prompt",
    "stop": "leave such conversations out, or end such turns with the stop token",
    "echo": "none is needed: the copy that the model samples is generated, the other is not",
    "lost": "leave such conversations out",
}


@dataclass(frozen=True)
class Exemption:
    """A law that the template's own rendering breaks for some conversations, whatever the tags.

    Attributes:
        law: its name.
        why: what the template does.
        conversation, kwargs: the smallest case that was seen.
        way_out: what to do about it.
    """

    law: str
    why: str
    conversation: Conversation
    kwargs: dict[str, Any]
    way_out: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "law": self.law,
            "why": self.why,
            "conversation": self.conversation.dump(),
            "kwargs": self.kwargs,
            "way_out": self.way_out,
        }


@dataclass
class Proof:
    """What was tried, and what held.

    Attributes:
        stops: what ends the assistant's turns.
        modes: the kwargs that were tried, each in turn; the first are none.
        searched: how many conversations were looked at to place the tags.
        independent: on how many others they were checked.
        texts: how many texts were compared: each conversation with and without generation prompt, in each mode.
        refused: how many of these the template refuses to render, before as after.
        held: how often each law was found to hold.
        exceptions: what cannot hold, each with the smallest conversation.
        notes: what else a user must know.
        diff: what was changed, as a unified diff.
    """

    stops: tuple[str, ...] = ()
    modes: list[dict[str, Any]] = field(default_factory=list)
    searched: int = 0
    independent: int = 0
    texts: int = 0
    refused: int = 0
    held: Counter[str] = field(default_factory=Counter)
    exceptions: list[Exemption] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: str = ""

    def except_for(self, exemption: Exemption) -> None:
        """Add an exception, or take its conversation if it is smaller than the one that is known."""
        for index, known in enumerate(self.exceptions):
            if (known.law, known.why, known.kwargs) == (exemption.law, exemption.why, exemption.kwargs):
                if _size(exemption.conversation) < _size(known.conversation):
                    self.exceptions[index] = exemption
                return
            # What holds in no mode is said once.
            if (known.law, known.why, known.kwargs) == (exemption.law, exemption.why, {}):
                return
        self.exceptions.append(exemption)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "stops": list(self.stops),
            "modes": self.modes,
            "searched": self.searched,
            "independent": self.independent,
            "texts": self.texts,
            "refused": self.refused,
            "held": dict(self.held),
            "exceptions": [exemption.to_dict() for exemption in self.exceptions],
            "notes": self.notes,
            "diff": self.diff,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Proof:
        """What `to_dict` wrote."""
        exceptions = [
            Exemption(**{**one, "conversation": Conversation.coerce(one["conversation"])}) for one in data["exceptions"]
        ]
        changed = {"stops": tuple(data["stops"]), "held": Counter(data["held"]), "exceptions": exceptions}
        return cls(**{**data, **changed})


@dataclass(frozen=True)
class Failure:
    """Why a template is not accepted.

    Attributes:
        kind: ``text``, where it is not rendered as before; ``refusal``, where it is refused before or after, and not
            both; ``mask``, where a law is broken that could hold.
    """

    kind: str
    message: str
    conversation: Conversation
    kwargs: dict[str, Any]
    counterexample: Counterexample | None = None


def prove(
    before: Template,
    after: Template,
    tries: Iterable[tuple[Conversation, dict[str, Any]]],
    stops: Stops,
    proof: Proof,
) -> Failure | None:
    """Compare texts, and check the laws of the mask where the template's own rendering allows them.

    Args:
        before: without the new tags.
        after: with them.
        tries: conversations, each with kwargs.
        stops: the template's stop tokens.
        proof: what was tried and held is added to it.
    """
    eos = before.tokens.get("eos_token")
    # The law knows control tokens only; what else a user says ends a turn is compared with what was targeted.
    known = all(stop == eos or CONTROL.fullmatch(stop) for stop in stops.tokens)
    laws = laws_named(name for name in LAWS if known or name != "stop")
    for conversation, kwargs in tries:
        old, new = Case(before, conversation, kwargs), Case(after, conversation, kwargs)
        failure = _other_text(old, new, proof)
        if failure is None and _rendered(old, False) is not None:
            failure = _other_mask(old, new, list(target_spans(old, stops)), laws, proof)
        if failure is not None:
            return failure
    return None


def _other_text(old: Case, new: Case, proof: Proof) -> Failure | None:
    for prompt in (False, True):
        expected, got = _rendered(old, prompt), _rendered(new, prompt)
        proof.texts += 1
        proof.refused += expected is None
        if (expected is None) != (got is None):
            verb = "is" if got is None else "is no longer"
            return Failure("refusal", f"a conversation {verb} refused", old.conversation, old.kwargs)
        if expected is not None and got is not None and expected.text != got.text:
            return Failure("text", "it is not rendered as before", old.conversation, old.kwargs)
    return None


def _other_mask(old: Case, new: Case, targets: list[TargetSpan], laws: list[Law], proof: Proof) -> Failure | None:
    conversation, kwargs = old.conversation, old.kwargs
    broken = [target for target in targets if target.broken]
    for target in broken:
        proof.except_for(Exemption(target.broken or "", target.why, conversation, kwargs, _WAYS_OUT[target.kind]))
    wrong = next(_misplaced(new, targets), None)
    if wrong is not None:
        return Failure("mask", wrong, conversation, kwargs)
    for law in laws:
        if law.name == "pure" and (repeated := echoes(old)):
            why = f"{_kind(repeated[0].field)} is rendered again in the turn of another message"
            proof.except_for(Exemption("pure", why, conversation, kwargs, _WAYS_OUT["echo"]))
            continue
        outcome = evaluate(law, new)
        if isinstance(outcome, Holds):
            proof.held[law.name] += 1
        elif isinstance(outcome, Counterexample):
            excuse = _excuse(outcome, broken)
            if excuse is None:
                return Failure("mask", outcome.message, conversation, kwargs, outcome)
            proof.except_for(Exemption(law.name, excuse.why, conversation, kwargs, _WAYS_OUT[excuse.kind]))
    return None


def _excuse(found: Counterexample, broken: list[TargetSpan]) -> TargetSpan | None:
    """The turn that no tags could make lawful, if the counterexample is about such a turn and no other."""
    about = set(found.turns)
    first = next((target for target in broken if target.turn in about), None)
    return first if about <= {target.turn for target in broken} else None


def _rendered(case: Case, prompt: bool) -> Rendering | None:
    try:
        return case.head(len(case.messages), prompt=prompt)
    except ChatTmplError:
        return None


def _misplaced(case: Case, targets: list[TargetSpan]) -> Iterator[str]:
    """What of the mask is not as targeted; of turns that can obey no law only that nothing of others is in it."""
    rendering = case.rendering
    answers = set(case.assistant_turns())
    for span in rendering.spans:
        if span.generated and (span.turn not in answers or (span.message is not None and span.message not in answers)):
            yield f"{rendering.text[span.start : span.end]!r} is generated, which the model does not sample"
    for target in targets:
        got = [span for span in rendering.spans if span.generated and span.turn == target.turn]
        whole = bool(got) and (got[0].start, got[-1].end) == (target.start, target.end)
        exact = whole and sum(span.end - span.start for span in got) == target.end - target.start
        if not target.broken and not exact:
            shown = "".join(rendering.text[span.start : span.end] for span in got)
            wanted = rendering.text[target.start : target.end]
            yield f"of messages[{target.turn}] {shown!r} is generated, not {wanted!r}"
    prompted = _rendered(case, True)
    if prompted is not None and prompted.text.startswith(rendering.text):
        late = [end for _, end in prompted.generated if end > len(rendering.text)]
        if late:
            yield f"of the generation prompt {prompted.text[len(rendering.text) : late[-1]]!r} is generated"


def _kind(path: str | None) -> str:
    """A field of a message without the numbers in its path."""
    return re.sub(r"\[\d+\]", "[]", path or "text of an answer")


def _size(conversation: Conversation) -> int:
    return len(str(conversation.dump()))


__all__ = ["LAWS", "Exemption", "Failure", "Proof", "prove"]
