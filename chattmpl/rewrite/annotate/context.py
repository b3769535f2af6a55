"""What is known of a template before tags are placed: what it renders of small conversations, what ends its turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import fixtures, made
from chattmpl.laws.law import Case
from chattmpl.laws.modes import modes
from chattmpl.laws.outcome import Counterexample
from chattmpl.laws.shapes import Shape, as_parts, only_parts, shape_of
from chattmpl.lint.conversations import CONVERSATIONS, TOOL
from chattmpl.rewrite.annotate.refusal import CannotAnnotate, UnknownStopToken
from chattmpl.rewrite.annotate.target_spans import Stops, TargetSpan, header_of, stop_tokens, target_spans
from chattmpl.source import Source
from chattmpl.template.resolver import Found
from chattmpl.template.special_tokens import CONTROL, PLACEHOLDERS
from chattmpl.template.template import Template

CORE = ("turn", "turns")
"""What must be lawful, or no tags are written."""

_MODAL = ("turn", "turns", "reasoning", "calls", "tools", "agent")
"""What is rendered in each of the template's modes."""

_QUINCE, _APRICOT = {"type": "text", "text": "Question quince"}, {"type": "text", "text": "Answer apricot"}
_MEDIA = [
    [{"role": "user", "content": [{"type": kind}, _QUINCE]}, {"role": "assistant", "content": answer}]
    for kind in ("image", "video", "audio")
    for answer in ([_APRICOT], [{"type": kind}, _APRICOT])
]
"""What templates for text refuse, or print."""

_ASK, _SAY = {"role": "user", "content": "Question quince"}, {"role": "assistant", "content": "Answer apricot"}
_ORDERS: list[list[dict[str, Any]]] = [[_SAY], [_SAY, _ASK, _SAY], [_ASK, _SAY, _SAY], [_ASK, _ASK, _SAY], [_ASK], []]
"""What is rare, and often rendered in other ways."""

_HELD_OUT = 20
"""So many made conversations of shapes that the template may refuse; they compare texts and refusals."""

Trial = tuple[Conversation, dict[str, Any]]


class AnnotationContext:
    """A template without tags, and what to look at.

    Args:
        template: the template, whose special tokens may be unknown.
        stops: what ends a turn, if that is known.
        others: see `chattmpl.rewrite.annotate.target_spans.Stops`.

    Attributes:
        stops: what ends a turn.
        notes: what a user must know of this.

    Raises:
        CannotAnnotate: if no placement of tags can obey the laws for a question and an answer.
    """

    def __init__(self, template: Template, stops: tuple[str, ...] = (), *, others: bool = True) -> None:
        self.template = template
        self.notes: list[str] = []
        self._in_parts = only_parts(template)
        self.beside = self._needed()
        self.stops = Stops(stops or self._stops(), others)
        for name in CORE:
            self._check(name)
        header = header_of(Case(template, self.conversation("turn")), self.stops)
        self.stops = replace(self.stops, header=header)

    def conversation(self, name: str) -> Conversation:
        """A probe as this template takes it."""
        return self.fitted(Conversation.coerce({**self.beside, **CONVERSATIONS[name]}))

    def fitted(self, conversation: Conversation) -> Conversation:
        """A conversation as this template takes it."""
        return as_parts(conversation) if self._in_parts else conversation

    @cached_property
    def cases(self) -> list[tuple[Case, list[TargetSpan]]]:
        """What tags are placed by: each conversation that the template renders, with what is to be generated."""
        found = []
        for conversation, kwargs in self.searched:
            case = Case(self.template, conversation, kwargs)
            try:
                case.rendering  # noqa: B018 — without an assistant message nothing else would render it
                found.append((case, list(target_spans(case, self.stops))))
            except ChatTmplError:
                continue
        return found

    @cached_property
    def searched(self) -> list[Trial]:
        """The conversations that tags are placed by, with kwargs."""
        usual = [
            *map(self.conversation, CONVERSATIONS),
            *map(self.fitted, fixtures()),
            *map(Conversation.coerce, _MEDIA),
            *(self.fitted(Conversation.coerce({**self.beside, "messages": messages})) for messages in _ORDERS),
        ]
        modal = [(self.conversation(name), kwargs) for kwargs in self.modes for name in _MODAL]
        return [(conversation, {}) for conversation in usual] + modal

    @cached_property
    def modes(self) -> list[dict[str, Any]]:
        """The kwargs that switch what the template does."""
        return modes(self.template)

    def independent(self, count: int) -> Iterator[Trial]:
        """Conversations that tags are not placed by: made for this template, and others that it may refuse."""
        fitting = _made(count, self.shape)
        for conversation in fitting:
            yield self.fitted(Conversation.coerce({**self.beside, **conversation.dump()})), {}
        for kwargs in self.modes:
            for conversation in fitting[: max(count // 6, 1)]:
                yield self.fitted(conversation), kwargs
        for conversation in _made(min(count, _HELD_OUT), Shape()):
            yield conversation, {}
        for conversation in fitting[:: max(count // _HELD_OUT, 1)]:
            yield _nulled(conversation), {}

    @cached_property
    def shape(self) -> Shape:
        """What kinds of conversations the template supports."""
        return shape_of(self.template)

    def _needed(self) -> dict[str, Any]:
        """What a conversation needs beside messages, for the template to render it at all."""
        plain = Case(self.template, self.fitted(Conversation.coerce(CONVERSATIONS["turn"])))
        try:
            plain.rendering  # noqa: B018
        except ChatTmplError as error:
            tools = {"tools": [TOOL]}
            try:
                Case(self.template, {**CONVERSATIONS["turn"], **tools}).rendering  # noqa: B018
            except ChatTmplError:
                raise CannotAnnotate(f"it does not render a question and an answer: {error.message}") from None
            self.notes.append(f"it renders no conversation without tools: {error.message}")
            return tools
        return {}

    def _stops(self) -> tuple[str, ...]:
        case = Case(self.template, self.conversation("turn"))
        found = stop_tokens(case)
        if not found and not any(span.message == 1 and span.field != "role" for span in case.rendering.spans):
            raise CannotAnnotate(
                "the law sampled cannot hold: nothing of an answer is rendered",
                law="sampled",
                hint="render the assistant's messages",
                conversation=case.conversation,
            )
        if not found:
            raise UnknownStopToken(
                "the law stop cannot hold: no stop token follows an answer",
                law="stop",
                hint="where what ends a turn does not look like a control token, name it: --stop-token TEXT",
                conversation=self.conversation("turn"),
            )
        return found

    def last_stop(self) -> tuple[str, ...]:
        """The control token that an answer ends with, where several stand behind it."""
        rendering = Case(self.template, self.conversation("turn")).rendering
        own = [span.end for span in rendering.spans if span.turn == 1]
        found = list(CONTROL.finditer(rendering.text[: own[-1]].rstrip())) if own else []
        ends = found and found[-1].end() == len(rendering.text[: own[-1]].rstrip())
        return (found[-1][0],) if ends else ()

    def _check(self, name: str) -> None:
        conversation = self.conversation(name)
        case = Case(self.template, conversation)
        try:
            found = list(target_spans(case, self.stops))
        except ChatTmplError as error:
            raise CannotAnnotate(f"it does not render {_TITLES[name]}: {error.message}") from None
        for target in found:
            if target.broken:
                raise self.refusal(target, case, _TITLES[name])

    def refusal(self, target: TargetSpan, case: Case, title: str) -> CannotAnnotate:
        """The error that says which law cannot hold, with the counterexample."""
        message = f"the law {target.broken} cannot hold for messages[{target.turn}] of {title}: {target.why}"
        expected = got = place = None
        if target.expected:
            expected, got = target.expected, target.got
            prompted = target.kind == "prompt"
            other = case.head(target.turn, prompt=True) if prompted else case.head(target.turn + 1)
            place = case.place_of_difference(other, case.head(target.turn + 1) if prompted else case.rendering)
        hint = {
            "history": "train on one row for each assistant turn, or rewrite it with chattmpl retain",
            "prompt": "render history as the generation prompt begins it, or let the prompt render what history has",
            "stop": "end each of the assistant's turns with the stop token",
            "lost": "render the assistant's messages",
        }[target.kind]
        found = Counterexample(
            target.broken or "", message, case.conversation, case.kwargs, expected, got, place=place, hint=hint
        )
        return CannotAnnotate(message, law=target.broken, hint=hint, counterexample=found)


_TITLES = {"turn": "a question and an answer", "turns": "two questions and two answers"}


def with_source(template: Template, source: str) -> Template:
    """Another source as the same template, with stand-ins for the special tokens that are not known."""
    tokens = {**PLACEHOLDERS, **template.tokens}
    found = Found(Source(source, template.program.source.name), tokens, template.family)
    return Template(found, template.retention, template.budget)


@lru_cache(maxsize=16)
def _made(count: int, shape: Shape) -> tuple[Conversation, ...]:
    """Made conversations of a shape; of templates of one shape they are the same."""
    return tuple(made(count, shape))


def _nulled(conversation: Conversation) -> Conversation:
    """A conversation in which a message has no content, which templates may refuse or print."""
    data = conversation.dump()
    if data["messages"]:
        random.Random(len(str(data))).choice(data["messages"])["content"] = None
    return Conversation.coerce(data)


__all__ = ["CORE", "AnnotationContext", "Trial", "with_source"]
