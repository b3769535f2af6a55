"""Probing: what a template makes of small conversations, each rendered once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import BudgetError, ChatTmplError
from chattmpl.lint.conversations import CONVERSATIONS, as_parts
from chattmpl.provenance.tree import Leaves
from chattmpl.template.spans import spans_of
from chattmpl.template.template import Rendering, Template

_ONCE = frozenset({"spoken"})
"""Conversations of which only the first answer tells something that others do not."""

_KNOWS_STRINGS = re.compile(r"\bis\s+(?:not\s+)?string\b")

_INSIDE = "nswer aprico"
"""What is left of an answer that lost a character at an end."""

CLOCK = datetime(2025, 7, 31, 12, 0, 0)


@dataclass
class Probe:
    """Renders the conversations of `chattmpl.lint.conversations` with one template.

    Attributes:
        template: what renders.
        kwargs: of the template, for each conversation.
        skipped: conversations that have no meaning with these kwargs, which are as if the template raised.
        failures: for each conversation that the template raised on the error, by name.
    """

    template: Template
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    failures: dict[str, ChatTmplError] = field(default_factory=dict)
    _spent: BudgetError | None = None
    _done: dict[tuple[tuple[int, ...], tuple[int, ...], bool], Rendering | ChatTmplError] = field(default_factory=dict)
    _turns: dict[tuple[str, int], Turn] = field(default_factory=dict)

    @cached_property
    def in_parts(self) -> bool:
        """Whether the template understands content only as a list of parts."""
        if _KNOWS_STRINGS.search(self.template.source):
            return False
        plain = self._try(_coerced("turn", None, False), False)
        if isinstance(plain, Rendering) and _INSIDE in plain.text.casefold():
            return False
        parts = self._try(_coerced("turn", None, True), False)
        return isinstance(parts, Rendering) and _INSIDE in parts.text.casefold()

    def conversation(self, name: str) -> dict[str, Any]:
        """The conversation as this template takes it."""
        return as_parts(CONVERSATIONS[name]) if self.in_parts else CONVERSATIONS[name]

    def render(self, name: str, count: int | None = None, *, prompt: bool = False) -> Rendering | None:
        """A conversation, rendered; None if the template raised.

        Args:
            name: which one.
            count: how many of its messages; all of them by default.
            prompt: whether with the generation prompt.
        """
        if name in self.skipped:
            return None
        # Conversations begin alike: what is the same is rendered once.
        given = CONVERSATIONS[name]
        key = (tuple(map(id, given["messages"][:count])), tuple(map(id, given.get("tools", ()))), prompt)
        made = self._done.get(key)
        if made is None:
            made = self._done[key] = self._try(_coerced(name, count, self.in_parts), prompt)
        if isinstance(made, ChatTmplError):
            self.failures.setdefault(name, made)
        return made if isinstance(made, Rendering) else None

    def raw(self, name: str, fields: Mapping[int, Mapping[str, Any]]) -> Rendering | None:
        """A conversation, rendered, some fields of which are as given, null for one; None if the template raised.

        chattmpl takes null for absent, and other engines hand it to the template.
        """
        try:
            conversation = _coerced(name, None, self.in_parts)
            variables = self.template.variables(conversation, False, dict(self.kwargs), Leaves())
            for index, given in fields.items():
                variables["messages"][index].update(given)
            text, runs = self.template.program.run(variables, lambda: CLOCK, self.template.budget)
        except ChatTmplError:
            return None
        return Rendering(text, spans_of(runs), (), conversation, self.template)

    def without(self, name: str, path: str, word: str) -> Rendering | None:
        """A conversation, rendered, if a field of it is lost: no character came from it, and its word is not there."""
        rendering = self.render(name)
        if rendering is None or word in rendering.text:
            return None
        return rendering if any(lost.startswith(path) for lost in rendering.lost) else None

    def _try(self, conversation: Conversation, prompt: bool) -> Rendering | ChatTmplError:
        if self._spent is not None:
            return self._spent
        try:
            return self.template.render(conversation, prompt, CLOCK, **self.kwargs)
        except BudgetError as error:
            # What runs away once would do so with each conversation.
            self._spent = error
            return error
        except ChatTmplError as error:
            return error

    @cached_property
    def _same_as_others(self) -> frozenset[str]:
        """Conversations that tell nothing beside others: without reasoning, or with reasoning or calls not read."""
        source = self.template.source
        same = "spoken" if "reasoning" in source or "think" in source else "agent"
        return frozenset({same} if "tool_calls" in source else {same, "parallel"})

    def turns(self, *names: str) -> Iterator[Turn]:
        """The assistant turns of conversations as the last message of each, where the template renders them."""
        for name in names:
            if name in self._same_as_others:
                continue
            for index, message in enumerate(self.conversation(name)["messages"]):
                if message["role"] == "assistant" and (index == 1 or name not in _ONCE):
                    whole = self.render(name, index + 1)
                    prompt = self.render(name, index, prompt=True)
                    before = self.render(name, index)
                    if whole is not None and prompt is not None and before is not None:
                        yield self._turns.setdefault((name, index), Turn(name, index, whole, prompt, before))


@cache
def _coerced(name: str, count: int | None, in_parts: bool) -> Conversation:
    """The first messages of a conversation, read once for all templates."""
    given = as_parts(CONVERSATIONS[name]) if in_parts else CONVERSATIONS[name]
    return Conversation.coerce({**given, "messages": given["messages"][:count]})


@dataclass(frozen=True)
class Turn:
    """An assistant turn as the last one.

    Attributes:
        name: of the conversation.
        index: of the message.
        whole: the conversation up to and with the turn, rendered.
        prompt: the conversation before it, with the generation prompt.
        before: the same without.
    """

    name: str
    index: int
    whole: Rendering
    prompt: Rendering
    before: Rendering

    @cached_property
    def generated(self) -> tuple[int, int] | None:
        """The range from the first to the last generated character of the turn, in characters."""
        earlier = [span.end for span in self.whole.spans if span.message is not None and span.message < self.index]
        start = max([*earlier, common_length(self.before.text, self.whole.text)])
        spans = [span for span in self.whole.spans if span.generated and span.end > start]
        return (max(spans[0].start, start), spans[-1].end) if spans else None

    @cached_property
    def common(self) -> int:
        """How many characters the turn's text and its prompt have in common from the start."""
        common = common_length(self.whole.text, self.prompt.text)
        if self.whole.text.startswith(self.prompt.text):
            return common
        # Two control tokens that begin alike have nothing in common.
        open_token = self.whole.text.rfind("<", 0, common)
        return open_token if open_token >= 0 and ">" not in self.whole.text[open_token:common] else common

    def covers(self, offset: int) -> bool:
        """Whether the generated range goes on at least to an offset."""
        return self.generated is not None and offset <= self.generated[1]

    @property
    def is_continuation(self) -> bool:
        """Whether the prompt is a prefix of the text."""
        return self.whole.text.startswith(self.prompt.text)

    @cached_property
    def content(self) -> tuple[int, int] | None:
        """The range from the first to the last character of what the message holds."""
        spans = [span for span in self.whole.spans if span.message == self.index and span.field != "role"]
        return (spans[0].start, spans[-1].end) if spans else None

    @property
    def tail(self) -> str:
        """The text behind what the message holds."""
        return "" if self.content is None else self.whole.text[self.content[1] :]

    def counterexample(self) -> dict[str, Any]:
        """The conversation and the two texts."""
        messages = self.whole.conversation.dump()
        return {"conversation": messages, "prompt": self.prompt.text, "text": self.whole.text}


def common_length(first: str, second: str) -> int:
    """How many characters two texts have in common from the start."""
    if second.startswith(first) or first.startswith(second):
        return min(len(first), len(second))
    return next(index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
