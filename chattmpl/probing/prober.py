"""Rendering of the corpus with one template: each conversation once, with errors as values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from chattmpl.budget import Budget
from chattmpl.conversation.models import Conversation
from chattmpl.errors import BudgetError, ChatTmplError, Reason
from chattmpl.printable import shortened
from chattmpl.probing.corpus import (
    ASK,
    CLOCK,
    CONVERSATIONS,
    DOCUMENT,
    SAY,
    TOOL,
    TUSKS,
    Message,
    as_parts,
    call_message,
)
from chattmpl.provenance.containers import InputTracer
from chattmpl.source import common_length
from chattmpl.template.spans import spans_of
from chattmpl.template.template import Rendering, Template

PROBE_BUDGET = Budget(steps=100_000, characters=1 << 16)
"""The budget for one probe, which has a hundred words."""

Rendered = Rendering | ChatTmplError
"""A rendering, or the error that the template raised."""

Fate = Literal["rendered", "dropped", "refused", "failed"]
"""The fate of a part of a conversation; *refused* is an error that the template raises on purpose."""


def render_or_error(
    template: Template, conversation: Conversation | dict[str, Any], prompt: bool, kwargs: Mapping[str, Any]
) -> Rendered:
    """Return the rendering of a conversation, or the error that the template raised."""
    try:
        return template.render(conversation, prompt, CLOCK, **kwargs)
    except ChatTmplError as error:
        return error


@dataclass(frozen=True)
class Treatment:
    """The treatment of a part of a conversation.

    Attributes:
        fate: its fate.
        error: the error, where the template raises.
    """

    fate: Fate
    error: ChatTmplError | None = None


_FIRST_ANSWER_ONLY = frozenset({"spoken"})
"""Conversations whose later answers repeat those of others."""

_READS_STRINGS = re.compile(r"\bis\s+(?:not\s+)?string\b")

_INSIDE = "nswer aprico"
"""The middle of an answer, for templates that change its first or last letter."""


class Prober:
    """Renders conversations of the corpus with one template and one set of template kwargs.

    Args:
        kwargs: template kwargs for each render.
        skipped: names of conversations that make no sense with these kwargs; they count as refused.

    Attributes:
        failures: the error for each named conversation that the template raised on.
    """

    def __init__(
        self, template: Template, kwargs: Mapping[str, Any] | None = None, skipped: frozenset[str] = frozenset()
    ) -> None:
        self.template = template
        self.kwargs = dict(kwargs or {})
        self.skipped = skipped
        self.failures: dict[str, ChatTmplError] = {}
        self._done: dict[tuple[str, bool, Template | None, str], Rendered] = {}
        self._own_kwargs = repr(self.kwargs)
        self._turns: dict[tuple[str, int], Turn] = {}
        self._spent: BudgetError | None = None

    # -- what the template takes

    @cached_property
    def only_parts(self) -> bool:
        """True if the template understands content only as a list of parts."""
        if _READS_STRINGS.search(self.template.source):
            return False
        for in_parts in (False, True):
            made = self._once(*_named("turn", None, in_parts))
            if isinstance(made, Rendering) and _INSIDE in made.text.casefold():
                return in_parts
        return False

    @cached_property
    def error_alone(self) -> ChatTmplError | None:
        """The error that a question raises without tools and documents; None if it is rendered."""
        made = self._once(*_named("turn", 1, False))
        return made if isinstance(made, ChatTmplError) else None

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The key, ``tools`` or ``documents``, that must accompany the messages for a question to be rendered."""
        if self.error_alone is None or isinstance(self.error_alone, BudgetError):
            return ()
        for name, given in (("tools", [TOOL]), ("documents", [DOCUMENT])):
            with suppress(ChatTmplError):
                self.template.render({"messages": [ASK], name: given}, False, CLOCK, **self.kwargs)
                return (name,)
        return ()

    @cached_property
    def refusal(self) -> ChatTmplError | None:
        """The error that keeps a plain question from being rendered; None if it is rendered."""
        made = self.outcome([ASK])
        return made if isinstance(made, ChatTmplError) else None

    @cached_property
    def call_form(self) -> tuple[dict[str, Any] | None, Rendered]:
        """Arguments for `call_message` with which a call is rendered, and the outcome.

        If there is none: None, with a rendering that lacks the call, or the first error.
        """
        first: Rendered | None = None
        for text in (False, True):
            for content in ("", None, SAY["content"]):
                form: dict[str, Any] = {"text": text, "content": content}
                made = self.outcome([ASK, call_message(**form)], tools=True)
                if isinstance(made, Rendering) and TUSKS[0] in made.text:
                    return form, made
                if first is None or (isinstance(first, ChatTmplError) and isinstance(made, Rendering)):
                    first = made
        assert first is not None
        return None, first

    @cached_property
    def call_options(self) -> dict[str, Any]:
        """Arguments for `call_message`: those of `call_form`, or none."""
        return self.call_form[0] or {}

    # -- any messages

    def outcome(
        self,
        messages: Sequence[Message],
        *,
        prompt: bool = False,
        tools: bool = False,
        documents: Sequence[Any] | None = None,
        template: Template | None = None,
        raw: bool = False,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """Render messages in the form that the template takes, with the tools or documents that it needs.

        Args:
            messages: the messages to render.
            prompt: add the generation prompt.
            tools: pass the tool of the corpus.
            documents: the documents to pass.
            template: the same template under another retention policy.
            raw: leave content as it is, even for templates that take nothing but lists of parts.
            kwargs: more template kwargs.
        """
        data = self._data_of(messages, tools, documents, raw)
        return self._once(data, repr(data), prompt, template, {**self.kwargs, **kwargs} if kwargs else None)

    def conversation_of(self, messages: Sequence[Message], *, tools: bool = False) -> Conversation:
        """Return messages as a conversation that the template takes, with or without the tool of the corpus."""
        return Conversation.coerce(self._data_of(messages, tools, None, False))

    def _data_of(
        self, messages: Sequence[Message], tools: bool, documents: Sequence[Any] | None, raw: bool
    ) -> dict[str, Any]:
        data: dict[str, Any] = {"messages": list(messages)}
        if not raw and self.only_parts:
            data = as_parts(data)
        if tools or "tools" in self.needs:
            data["tools"] = [TOOL]
        if documents is not None or "documents" in self.needs:
            data["documents"] = list(documents or [DOCUMENT])
        return data

    def text(self, messages: Sequence[Message], **options: Any) -> str | None:
        """Return the text of messages, or None if the template raises; for the options see `outcome`."""
        made = self.outcome(messages, **options)
        return made.text if isinstance(made, Rendering) else None

    def _once(
        self,
        conversation: Conversation | dict[str, Any],
        content: str,
        prompt: bool = False,
        template: Template | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """Render a conversation, or return the outcome of rendering one with the same content before.

        Content is its JSON types in Python's notation. The template may have another retention policy, and kwargs
        replace those of the prober.
        """
        key = (content, prompt, template, self._own_kwargs if kwargs is None else repr(kwargs))
        if key not in self._done:
            self._done[key] = self._run(conversation, prompt, template, self.kwargs if kwargs is None else kwargs)
        return self._done[key]

    def _run(
        self,
        conversation: Conversation | dict[str, Any],
        prompt: bool,
        template: Template | None,
        kwargs: Mapping[str, Any],
    ) -> Rendered:
        if self._spent is not None:
            return self._spent
        try:
            return (template or self.template).render(conversation, prompt, CLOCK, **kwargs)
        except BudgetError as error:
            # A template that runs away once does so with each conversation.
            self._spent = error
            return error
        except ChatTmplError as error:
            return error

    # -- named conversations

    def conversation(self, name: str) -> dict[str, Any]:
        """Return a named conversation with content in the form that the template takes."""
        return as_parts(CONVERSATIONS[name]) if self.only_parts else CONVERSATIONS[name]

    def render(self, name: str, count: int | None = None, *, prompt: bool = False) -> Rendering | None:
        """Render a conversation of `CONVERSATIONS`, or its first messages; None if the template raises."""
        if name in self.skipped:
            return None
        # Conversations begin alike: the common beginning is rendered once.
        made = self._once(*_named(name, count, self.only_parts), prompt)
        if isinstance(made, ChatTmplError):
            self.failures.setdefault(name, made)
        return made if isinstance(made, Rendering) else None

    def with_raw_fields(self, name: str, fields: Mapping[int, Mapping[str, Any]]) -> Rendering | None:
        """Render a named conversation with some fields of a message passed to the template unchanged, None included.

        chattmpl treats None as absent; other engines pass it on.

        Returns:
            The rendering, or None if the template raises.
        """
        try:
            conversation, _ = _named(name, None, self.only_parts)
            variables = self.template.variables(conversation, False, dict(self.kwargs), InputTracer())
            for index, given in fields.items():
                variables["messages"][index].update(given)
            text, runs = self.template.program.run(variables, lambda: CLOCK, self.template.budget)
        except ChatTmplError:
            return None
        return Rendering(text, spans_of(runs), (), conversation, self.template)

    def losing(self, name: str, path: str, word: str) -> Rendering | None:
        """Render a named conversation; None unless a field of it is lost.

        A field is lost if no character came from it and its word is not in the text.
        """
        rendering = self.render(name)
        if rendering is None or word in rendering.text:
            return None
        return rendering if any(lost.startswith(path) for lost in rendering.lost) else None

    @cached_property
    def _redundant(self) -> frozenset[str]:
        """Conversations that show the same as others if the template reads no reasoning, or no calls."""
        source = self.template.source
        same = "spoken" if "reasoning" in source or "think" in source else "agent"
        return frozenset({same} if "tool_calls" in source else {same, "parallel"})

    def turns(self, *names: str) -> Iterator[Turn]:
        """Yield each assistant turn of named conversations as the last message, where the template renders it."""
        for name in names:
            if name in self._redundant:
                continue
            for index, message in enumerate(CONVERSATIONS[name]["messages"]):
                if message["role"] == "assistant" and (index == 1 or name not in _FIRST_ANSWER_ONLY):
                    whole = self.render(name, index + 1)
                    prompt = self.render(name, index, prompt=True)
                    before = self.render(name, index)
                    if whole is not None and prompt is not None and before is not None:
                        yield self._turns.setdefault((name, index), Turn(name, index, whole, prompt, before))


@cache
def _named(name: str, count: int | None, in_parts: bool) -> tuple[Conversation, str]:
    """Return the first messages of a conversation, loaded once for all templates, and its content for `_once`."""
    given = as_parts(CONVERSATIONS[name]) if in_parts else CONVERSATIONS[name]
    data = {**given, "messages": given["messages"][:count]}
    return Conversation.coerce(data), repr(data)


@dataclass(frozen=True)
class Turn:
    """An assistant turn that is the last of its conversation.

    Attributes:
        name: the name of the conversation.
        index: the index of the message.
        whole: the conversation up to and with the turn.
        prompt: the conversation before it, with the generation prompt.
        before: the conversation before it, without.
    """

    name: str
    index: int
    whole: Rendering
    prompt: Rendering
    before: Rendering

    @cached_property
    def generated(self) -> tuple[int, int] | None:
        """The range from the first to the last generated character of the turn."""
        earlier = [span.end for span in self.whole.spans if span.message is not None and span.message < self.index]
        start = max([*earlier, common_length(self.before.text, self.whole.text)])
        spans = [span for span in self.whole.spans if span.generated and span.end > start]
        return (max(spans[0].start, start), spans[-1].end) if spans else None

    @cached_property
    def common(self) -> int:
        """The length of the common beginning of the turn's text and its prompt."""
        common = common_length(self.whole.text, self.prompt.text)
        if self.whole.text.startswith(self.prompt.text):
            return common
        return before_split_token(self.whole.text, common)

    def covers(self, offset: int) -> bool:
        """Return whether the generated range reaches an offset."""
        return self.generated is not None and offset <= self.generated[1]

    @property
    def is_continuation(self) -> bool:
        """True if the text begins with the prompt."""
        return self.whole.text.startswith(self.prompt.text)

    @cached_property
    def content(self) -> tuple[int, int] | None:
        """The range from the first to the last character that came from the message; None if none did."""
        return content_range(self.whole, self.index)

    @property
    def tail(self) -> str:
        """The text after the content."""
        return "" if self.content is None else self.whole.text[self.content[1] :]

    def counterexample(self) -> dict[str, Any]:
        """Return the conversation and both texts, as a diagnostic shows them."""
        messages = self.whole.conversation.dump()
        return {"conversation": messages, "prompt": self.prompt.text, "text": self.whole.text}


def content_range(rendering: Rendering, index: int) -> tuple[int, int] | None:
    """Return the range from the first to the last character that came from a message, except its role."""
    spans = [span for span in rendering.spans if span.message == index and span.field != "role"]
    return (spans[0].start, spans[-1].end) if spans else None


def before_split_token(text: str, offset: int) -> int:
    """Return the offset, or the start of the control token that it splits.

    Two control tokens that begin alike have nothing in common.
    """
    start = text.rfind("<", 0, offset)
    return start if start >= 0 and ">" not in text[start:offset] else offset


def fate(error: ChatTmplError) -> Fate:
    """Return the fate of the message that caused an error."""
    return "refused" if refuses(error) else "failed"


def fate_with_error(made: Rendered, kept: bool) -> tuple[Fate, ChatTmplError | None]:
    """Return the fate of a part that is or is not in a rendering, and the error if there is no rendering."""
    if isinstance(made, ChatTmplError):
        return fate(made), made
    return "rendered" if kept else "dropped", None


def reason_of(error: ChatTmplError) -> str:
    """Return an error in a few words: the text that the template raised with, or that of the exception."""
    told = error.complaint if error.reason in (Reason.REFUSED, Reason.FAILED) else error.message
    return shortened(" ".join(told.split()))


def refuses(made: Rendered | None) -> bool:
    """Return whether the template raised the error on purpose."""
    return isinstance(made, ChatTmplError) and made.reason is Reason.REFUSED


def said(rendering: Rendering, index: int) -> str:
    """Return all rendered text of a message except its role, joined."""
    spans = (span for span in rendering.spans if span.message == index and span.field not in (None, "role"))
    return "".join(rendering.text[span.start : span.end] for span in spans)


def holds(rendering: Rendered, word: str, index: int | None = None) -> bool:
    """Return whether a word was rendered: in one piece or, of the message at an index, in several."""
    if not isinstance(rendering, Rendering):
        return False
    return word in rendering.text or (index is not None and _letters(word) in _letters(said(rendering, index)))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text)
