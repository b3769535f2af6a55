"""Laws, which are properties of a template that can be checked on any conversation, and the cases to check them on."""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from chattmpl.conversation.models import Conversation
from chattmpl.diagnostic import Severity, wording
from chattmpl.errors import BudgetError, ChatTmplError, UsageError, did_you_mean
from chattmpl.laws.outcome import Counterexample, DoesNotApply, NotEvaluated, Outcome, first_difference
from chattmpl.probing.corpus import CLOCK
from chattmpl.rule_registry import Documented
from chattmpl.source import Place
from chattmpl.template.blame import written_at
from chattmpl.template.template import Rendering, Template

REFUSED = "the template does not render this conversation"
"""The reason of a law that does not apply because the template raised an exception."""

Heads = dict[tuple[str, bool], Rendering | ChatTmplError]
"""The renderings of beginnings of conversations, by their content, with or without a generation prompt."""

_SHORT = 200
"""The length in characters up to which a line is a useful place."""


class Case:
    """A conversation with the template and kwargs that render it. Renderings are cached.

    Args:
        template: the template to check.
        conversation: the conversation to check it on.
        kwargs: template kwargs, in addition to those of the conversation.
        tokenizer: for the laws about tokens.
        exact: find places to the character, at the cost of a render for each; otherwise to the line, if it is short.
        heads: renderings that cases of the same template and kwargs share.
    """

    def __init__(
        self,
        template: Template,
        conversation: Any,
        kwargs: dict[str, Any] | None = None,
        tokenizer: Any = None,
        *,
        exact: bool = False,
        heads: Heads | None = None,
    ) -> None:
        self.template = template
        self.conversation = Conversation.coerce(conversation)
        self.kwargs = dict(kwargs or {})
        self.tokenizer = tokenizer
        self.exact = exact
        self._heads = {} if heads is None else heads
        self._prompted: set[int] = set()
        self._clocks: dict[int, dt.datetime] = {}

    @property
    def messages(self) -> list[Any]:
        """The messages of the conversation."""
        return self.conversation.messages

    @cached_property
    def rendering(self) -> Rendering:
        """The rendering of the whole conversation."""
        return self.head(len(self.messages))

    def head(self, count: int, *, prompt: bool = False) -> Rendering:
        """Return the rendering of the first messages, with or without a generation prompt."""
        key = (repr({**self._dumped, "messages": self._dumped["messages"][:count]}), prompt)
        if key not in self._heads:
            first = self.conversation.with_messages(self.messages[:count])
            try:
                self._heads[key] = self.render(first, prompt=prompt)
            except ChatTmplError as error:
                self._heads[key] = error
        made = self._heads[key]
        if isinstance(made, ChatTmplError):
            raise made
        if prompt:
            self._prompted.add(id(made))
        return made

    @cached_property
    def _dumped(self) -> dict[str, Any]:
        return self.conversation.dump()

    def render(self, conversation: Any, *, prompt: bool = False, clock: dt.datetime = CLOCK) -> Rendering:
        """Return the rendering of another conversation with the same kwargs."""
        rendering = self.template.render(conversation, prompt, clock, **self.kwargs)
        if prompt:
            self._prompted.add(id(rendering))
        if clock != CLOCK:
            self._clocks[id(rendering)] = clock
        return rendering

    def assistant_turns(self) -> list[int]:
        """Return the indices of the assistant messages."""
        return [index for index, message in enumerate(self.messages) if message.role == "assistant"]

    def generated(self, turn: int, rendering: Rendering | None = None) -> tuple[int, int] | None:
        """Return the range from the first to the last generated character of a turn; None if there are none.

        A stop token of the turn before, which the template writes in front of this one, is not part of it.
        """
        marked = [span for span in (rendering or self.rendering).spans if span.generated]
        spans, ends = [s for s in marked if s.turn == turn], {s.end for s in marked if s.turn != turn}
        if len(spans) > 1 and spans[0].message is None and spans[0].start in ends and spans[0].end < spans[1].start:
            del spans[0]
        return (spans[0].start, spans[-1].end) if spans else None

    def place_of_difference(self, expected: Rendering, got: Rendering) -> Place | None:
        """Return the place in the template that wrote the first difference of two texts."""
        at = first_difference(expected.text, got.text)
        return self.place_at(expected, at) or self.place_at(got, at)

    def place_at(self, rendering: Rendering, at_c: int) -> Place | None:
        """Return the place in the template that wrote a character; None after the end of the text."""
        span = next((span for span in rendering.spans if span.start <= at_c < span.end), None)
        if span is None:
            return None
        source = self.template.program.source
        if span.line is not None and not self.exact and len(source.line_text(span.line)) <= _SHORT:
            return Place.of_line(source, span.line)
        prompt, clock = id(rendering) in self._prompted, self._clocks.get(id(rendering), CLOCK)
        return written_at(rendering, at_c, prompt=prompt, clock=clock, kwargs=self.kwargs)

    def rewritten_by_retention(self, law: Law) -> bool:
        """Return whether a law fails only because the retention policy drops earlier traces."""
        if self.template.retention in (None, "all"):
            return False
        kept = Case(_keeping_all(self.template), self.conversation, self.kwargs)
        return not isinstance(evaluate(law, kept), Counterexample)

    def sites(self, expected: Rendering, got: Rendering) -> frozenset[str]:
        """Return the places that wrote the first difference, as words; see `Counterexample.sites`."""
        at = first_difference(expected.text, got.text)
        places = (self.place_at(expected, at), self.place_at(got, at))
        return frozenset(site("text", place) for place in places if place is not None)

    def block_at(self, rendering: Rendering, at_c: int) -> Place | None:
        """Return the generation tag around the place that wrote a character, or that place if there is none."""
        place = self.place_at(rendering, at_c)
        if place is None:
            return None
        tree = self.template.program.syntax
        around = [block for block in tree.blocks("generation") if block.start <= place.start < block.end]
        return Place(place.source, around[-1].start, around[-1].opening.end) if around else place


@lru_cache(maxsize=32)
def _keeping_all(template: Template) -> Template:
    return template.with_retention("all")


def site(kind: str, place: Place | None) -> str:
    """Return a place as a word that counterexamples of one cause share."""
    return f"{kind}:{place.start}" if place is not None else f"{kind}:?"


class Law(Documented, ABC):
    """A property of templates.

    Attributes:
        order: the position in lists.
        severity: error for laws whose breach breaks training or serving, and otherwise warning.
        problems: by kind of counterexample, the patterns of message and hint; ``{name}`` is a field of its data.
    """

    severity: ClassVar[Severity] = "error"
    order: ClassVar[int]
    problems: ClassVar[Mapping[str, tuple[str, str | None]]]

    def __init_subclass__(cls) -> None:
        cls.code = cls.name

    @abstractmethod
    def check(self, case: Case) -> Outcome:
        """Check the law on a case.

        Raises:
            ChatTmplError: if the template does; `evaluate` turns it into *not evaluated*.
        """

    def outcomes(self, case: Case) -> list[Outcome]:
        """Return the outcome of `check`, with all counterexamples if a case can show several causes."""
        return [self.check(case)]

    def broken(
        self,
        case: Case,
        kind: str,
        *,
        data: Mapping[str, Any] | None = None,
        words: Mapping[str, str] | None = None,
        **details: Any,
    ) -> Counterexample:
        """Return a counterexample for this case.

        Args:
            case: the case that shows it.
            kind: the key of one of `problems`.
            data: the values that describe it.
            words: more values for message and hint, for people only.
            **details: other fields of `Counterexample`.
        """
        message, hint = self.problems[kind]
        given = {**(data or {}), **(words or {})}
        return Counterexample(
            self.name,
            wording(message, given),
            case.conversation,
            case.kwargs,
            hint=None if hint is None else wording(hint, given),
            kind=kind,
            data=data or {},
            severity=self.severity,
            **details,
        )


@lru_cache
def laws() -> dict[str, Law]:
    """Return all laws by name, one from each module of this package."""
    package = importlib.import_module("chattmpl.laws")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"chattmpl.laws.{module.name}")
    found = [law() for law in Law.__subclasses__()]
    return {law.name: law for law in sorted(found, key=lambda law: law.order)}


def laws_named(names: Iterable[str] | None) -> list[Law]:
    """Return the laws with these names, by default all; raise `UsageError` if a law does not exist."""
    known = laws()
    if names is None:
        return list(known.values())
    chosen = []
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"the laws are {', '.join(known)}"
            raise UsageError(f"there is no law {name!r}", hint=hint)
        chosen.append(known[name])
    return chosen


def evaluate(law: Law, case: Case) -> Outcome:
    """Check a law on a case; it does not apply if the template cannot render the conversation."""
    return evaluate_all(law, case)[0]


def evaluate_all(law: Law, case: Case) -> list[Outcome]:
    """Check a law on a case, with all counterexamples if the case shows several causes."""
    try:
        case.rendering  # noqa: B018 — a template that refuses the conversation is not at fault for it
    except BudgetError as error:
        return [NotEvaluated(error.message)]
    except ChatTmplError as error:
        return [DoesNotApply(f"{REFUSED}: {error.message}", rendered=False)]
    try:
        return law.outcomes(case)
    except ChatTmplError as error:
        return [NotEvaluated(error.message)]
