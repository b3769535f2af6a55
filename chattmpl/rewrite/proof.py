"""Proofs of rewrites, and the search for a rewrite that is proven."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.prober import refuses
from chattmpl.rewrite.refusal import CannotRewrite
from chattmpl.template.template import Rendering, Template

EXAMPLES = 60
"""Default number of conversations that hypothesis generates for a proof."""

Trial = tuple[Conversation, dict[str, Any]]
"""A conversation and the kwargs that it is rendered with."""


class ProofNoteKind(Enum):
    """Subject of a note."""

    UNCHANGED = "unchanged"
    COMPILED = "compiled"
    INPUT_NEEDED = "input-needed"
    SOME_ANSWERS = "some-answers"
    NEXT_TURN_STOP = "next-turn-stop"
    TAGS_IN_MACRO = "tags-in-macro"
    UNREACHED = "unreached"
    LAW_BROKEN = "law-broken"


@dataclass(frozen=True)
class Note:
    """Something that the user should know about a rewrite.

    Attributes:
        kind: the subject.
        text: the sentence for people.
    """

    kind: ProofNoteKind
    text: str


@dataclass
class Proof:
    """Record of the checks of a rewrite.

    Attributes:
        modes: kwargs of each mode that was checked; the first are empty.
        searched: number of conversations that the rewrite was searched with.
        independent: number of other conversations that it was checked on.
        texts: number of texts that were compared: each conversation with and without generation prompt, in each mode.
        refused: number of these that the template refuses to render, before and after the rewrite.
        held: number of conversations for which each law held.
        notes: facts that the user should know.
        diff: unified diff of the change; empty if there is none.
    """

    modes: list[dict[str, Any]] = field(default_factory=list)
    searched: int = 0
    independent: int = 0
    texts: int = 0
    refused: int = 0
    held: Counter[str] = field(default_factory=Counter)
    notes: list[Note] = field(default_factory=list)
    diff: str = ""

    def has_note(self, kind: ProofNoteKind) -> bool:
        """Return whether there is a note of this kind."""
        return any(note.kind is kind for note in self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as JSON data."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.metadata.get("json", True)}
        return {**values, "held": dict(self.held), "notes": [note.text for note in self.notes]}


class FailureKind(Enum):
    """Kind of a counterexample to a candidate."""

    TEXT = "text"
    """Another text is rendered."""
    REFUSAL = "refusal"
    """The conversation is refused before or after the rewrite, and not both."""
    MASK = "mask"
    """The mask differs from the target spans."""
    LAW = "law"
    """A law is broken that could hold."""


@dataclass(frozen=True)
class Failure:
    """Counterexample to a candidate."""

    kind: FailureKind
    counterexample: Counterexample

    @property
    def trial(self) -> Trial:
        """The conversation and kwargs that show it."""
        return self.counterexample.conversation, self.counterexample.kwargs


ProofT = TypeVar("ProofT", bound=Proof)

Check = Callable[[Conversation, dict[str, Any], ProofT], "Failure | None"]
"""Function that checks one conversation, and adds the results to the proof."""


def prove(
    check: Check[ProofT], proof: ProofT, searched: Iterable[Trial], independent: Iterable[Trial]
) -> Failure | None:
    """Check the conversations that a candidate was found with, then others.

    Returns:
        The first failure; None if the candidate is proven.
    """
    for conversation, kwargs in searched:
        if (failure := check(conversation, kwargs, proof)) is not None:
            return failure
    for conversation, kwargs in independent:
        proof.independent += 1
        if (failure := check(conversation, kwargs, proof)) is not None:
            return failure
    return None


class Search(ABC, Generic[ProofT]):
    """Search for a rewrite: candidates are proven one after the other, and each counterexample may lead to others.

    Attributes:
        limit: largest number of candidates that are proven or refuted.
    """

    limit: ClassVar[int]

    @abstractmethod
    def candidates(self) -> Iterator[str]:
        """Yield sources to prove, the best first; each is made with the counterexamples to those before."""

    @abstractmethod
    def prove(self, source: str) -> tuple[ProofT, Failure | None]:
        """Return the record of the checks of a candidate, and the first failure."""

    @abstractmethod
    def learn(self, failure: Failure) -> bool:
        """Note a counterexample; return False if no further candidate can avoid it."""

    @abstractmethod
    def refusal(self, failure: Failure | None) -> CannotRewrite:
        """Return the refusal after the failure of the last candidate; None if there was no candidate."""

    def find(self) -> tuple[str, ProofT]:
        """Return the first candidate that is proven, and its proof; raise `CannotRewrite` if there is none."""
        failure = None
        for source in islice(self.candidates(), self.limit):
            proof, failure = self.prove(source)
            if failure is None:
                return source, proof
            if not self.learn(failure):
                break
        raise self.refusal(failure)


def no_longer_fails(before: Template, got: Rendering | None, kwargs: dict[str, Any], prompt: bool) -> bool:
    """Return whether a template failed by mistake before its rewrite, which renders the conversation.

    Part of a sum with an absent value is rendered without it, and a trace need not be cut out of what is no string.
    """
    if got is None:
        return False
    try:
        before.render(got.conversation, prompt, CLOCK, **kwargs)
    except ChatTmplError as error:
        return not refuses(error) and "None" not in got.text
    return False
