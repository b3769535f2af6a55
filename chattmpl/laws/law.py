"""Laws: properties of a template that can be checked on any conversation; and the cases that they are checked on."""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.conversation import Conversation
from chattmpl.errors import ChatTmplError, UsageError, did_you_mean
from chattmpl.laws.outcome import Counterexample, DoesNotApply, NotEvaluated, Outcome, first_difference
from chattmpl.render import Rendering
from chattmpl.source import Place
from chattmpl.template import Template

CLOCK = dt.datetime(2025, 1, 2, 3, 4, 5)
"""The time that templates are told while laws are checked."""


class Case:
    """One conversation with the template and kwargs that it is rendered with. Renderings are made once.

    Args:
        template: what is checked.
        conversation: what it is checked on.
        kwargs: template kwargs, beside those that the conversation brings.
        tokenizer: for the laws about tokens.
    """

    def __init__(
        self,
        template: Template,
        conversation: Any,
        kwargs: dict[str, Any] | None = None,
        tokenizer: Any = None,
    ) -> None:
        self.template = template
        self.conversation = Conversation.coerce(conversation)
        self.kwargs = dict(kwargs or {})
        self.tokenizer = tokenizer
        self._heads: dict[tuple[int, bool], Rendering] = {}

    @property
    def messages(self) -> list[Any]:
        """The messages of the conversation."""
        return self.conversation.messages

    @cached_property
    def rendering(self) -> Rendering:
        """The whole conversation."""
        return self.head(len(self.messages))

    def head(self, count: int, *, prompt: bool = False) -> Rendering:
        """The first messages, with or without a generation prompt."""
        key = (count, prompt)
        if key not in self._heads:
            first = self.conversation.with_messages(self.messages[:count])
            self._heads[key] = self.render(first, prompt=prompt)
        return self._heads[key]

    def render(self, conversation: Any, *, prompt: bool = False, clock: dt.datetime = CLOCK) -> Rendering:
        """Another conversation, under the same kwargs."""
        return self.template.render(conversation, prompt, clock, **self.kwargs)

    def assistant_turns(self) -> list[int]:
        """Indices of the assistant's messages."""
        return [index for index, message in enumerate(self.messages) if message.role == "assistant"]

    def generated(self, turn: int, rendering: Rendering | None = None) -> tuple[int, int] | None:
        """The characters from the first to the last that are generated in a turn; None if none are."""
        spans = [s for s in (rendering or self.rendering).spans if s.generated and s.turn == turn]
        return (spans[0].start, spans[-1].end) if spans else None

    def place_of_difference(self, expected: Rendering, got: Rendering) -> Place | None:
        """The line that wrote what one text has and the other has not, or has otherwise."""
        at = first_difference(expected.text, got.text)
        return self.place_at(expected, at) or self.place_at(got, at)

    def place_at(self, rendering: Rendering, offset: int) -> Place | None:
        """The template line that wrote a character."""
        for span in rendering.spans:
            if span.start <= offset < span.end and span.line is not None:
                return Place.of_line(self.template.program.source, span.line)
        return None


class Law(ABC):
    """One property. The subclass's docstring says what it demands and why it matters.

    Attributes:
        name: how users say it.
        order: where it stands in lists.
    """

    name: str
    order: int

    @abstractmethod
    def check(self, case: Case) -> Outcome:
        """Whether the law holds for a case.

        Raises:
            ChatTmplError: if the template does; `evaluate` turns it into *not evaluated*.
        """

    def broken(self, case: Case, message: str, **details: Any) -> Counterexample:
        """A counterexample for this case."""
        return Counterexample(self.name, message, case.conversation, case.kwargs, **details)


@lru_cache
def laws() -> dict[str, Law]:
    """All laws by name: each is a module of this package."""
    package = importlib.import_module("chattmpl.laws")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"chattmpl.laws.{module.name}")
    found = [law() for law in Law.__subclasses__()]
    return {law.name: law for law in sorted(found, key=lambda law: law.order)}


def laws_named(names: Iterable[str] | None) -> list[Law]:
    """The laws of these names; all of them if none are given.

    Raises:
        UsageError: for a name that no law has.
    """
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
    """Check a law; a template that cannot render the conversation leaves it not evaluated."""
    try:
        case.rendering  # noqa: B018 — a template that refuses the conversation is not at fault for it
    except ChatTmplError as error:
        return DoesNotApply(f"the template does not render this conversation: {error.message}")
    try:
        return law.check(case)
    except ChatTmplError as error:
        return NotEvaluated(error.message)
