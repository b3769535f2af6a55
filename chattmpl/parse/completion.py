"""Parsing of completions: the text that a model sampled after a prompt, as one assistant message.

Each message that the grammar reads is rendered again. *Exact* parsing returns the one whose rendering is the text, and
refuses all others; *serving* also returns a message that the template writes differently, with the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from pydantic import PrivateAttr

from chattmpl.conversation.json_text import STRICT
from chattmpl.conversation.models import Conversation
from chattmpl.errors import ConversationError, NotRepresentable, RenderError, UsageError
from chattmpl.parse.conversation import ParseRequest
from chattmpl.parse.explanation import CUT_OFF, explain
from chattmpl.parse.refusal import ParseFailure, ParseRefusal, difference, later
from chattmpl.parse.turn_grammar import (
    CONTROL_TOKENS,
    MessageData,
    TurnGrammar,
    schemas_of,
    turn_grammar,
)
from chattmpl.probing.facts import facts_of, placeholders_in, with_placeholders
from chattmpl.probing.prober import before_split_token
from chattmpl.source import common_length
from chattmpl.template.special_tokens import PLACEHOLDER
from chattmpl.template.template import Template

_QUESTION: dict[str, Any] = {"role": "user", "content": "?"}
"""The prompt of a completion that is parsed without one."""

_MAX_CALLS = 1000
"""Greatest number of earlier calls that a substitute prompt contains."""


class ParsedConversation(Conversation):
    """A conversation that was read from a completion."""

    _differs: NotRepresentable | None = PrivateAttr(default=None)

    @property
    def differs(self) -> NotRepresentable | None:
        """The first place where the template writes the message differently; None if it writes this text."""
        return self._differs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and self.dump() == other.dump()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, conversation: Conversation, differs: NotRepresentable | None) -> ParsedConversation:
        """Return a conversation with the place where its rendering differs."""
        made = cls.model_construct(conversation.model_fields_set, **dict(conversation))
        made._differs = differs
        return made


@dataclass(frozen=True)
class Prompt:
    """The input of the model: a conversation, its text, and the generation prompt at the end of the text."""

    conversation: Conversation
    text: str
    generation_prompt: str


@lru_cache(maxsize=64)
def keep_reasoning(template: Template) -> Template:
    """Return the template with the retention that renders each turn as it was sampled.

    Special tokens that it writes and that are not known are placeholders.
    """
    complete = with_placeholders(template)
    template = complete if placeholders_in(complete) else template
    return template.with_retention("all") if template.retention not in (None, "all") else template


def render_prompt(request: ParseRequest, prompt: Any) -> Prompt:
    """Render the prompt of a completion; a one-word question if ``prompt`` is None.

    Raises:
        UsageError: the prompt cannot be rendered.
    """
    try:
        conversation = Conversation.coerce([_QUESTION] if prompt is None else prompt)
        text, history = request.render(conversation, add_generation_prompt=True), request.render(conversation)
    except (ConversationError, RenderError) as error:
        raise UsageError(f"the prompt cannot be rendered: {error.message}", hint=error.hint) from None
    return Prompt(conversation, text, text[len(history) :] if text.startswith(history) else "")


def reply_start(prompt: Prompt, text: str, generation_prompt: bool | None) -> int:
    """Return the character offset of the reply in a text that may repeat the prompt or the generation prompt.

    Raises:
        ParseRefusal: the text lacks a required generation prompt.
    """
    if generation_prompt is False:
        return 0
    for prefix in (prompt.text, prompt.generation_prompt):
        if prefix and text.startswith(prefix):
            return len(prefix)
    if generation_prompt:
        raise difference(text, prompt.generation_prompt)
    return 0


def grammar_after(request: ParseRequest, prompt: Prompt) -> TurnGrammar:
    """Return the grammar of the turn that follows a prompt."""
    messages = prompt.conversation.messages
    after_result = bool(messages) and messages[-1].role == "tool"
    own = prompt.conversation.chat_template_kwargs or {}
    kwargs = {**{name: value for name, value in own.items() if request.template.reads(name)}, **request.kwargs}
    grammar = turn_grammar(request.template, kwargs, after_result)
    if not prompt.text.endswith(grammar.prompt_end):
        # Without tools, some templates end their prompts otherwise.
        without = turn_grammar(request.template, kwargs, after_result, tools=False)
        grammar = without if prompt.text.endswith(without.prompt_end) else grammar
    return grammar


def parse_completion(
    request: ParseRequest,
    text: str,
    prompt: Any,
    generation_prompt: bool | None,
    *,
    exact: bool = False,
    sampled: bool = False,
) -> ParsedConversation:
    """Return the messages of the prompt, if one was given, followed by the message that the completion is.

    Args:
        request: the template, and the kwargs that the text was rendered with.
        text: the completion.
        prompt: the conversation that it answers, or None.
        generation_prompt: whether the text begins with the generation prompt; None accepts both.
        exact: refuse what the template writes differently.
        sampled: the text follows the prompt, so it is no turn that the template begins otherwise in the history.

    Raises:
        ParseRefusal: no message is written like this, or with ``exact``, none renders to it.
    """
    request = replace(request, template=keep_reasoning(request.template))
    rendered = render_prompt(request, prompt)
    start = reply_start(rendered, text, generation_prompt)
    messages = rendered.conversation.messages
    grammar = grammar_after(request, rendered)
    text = _known_stop(text, grammar, placeholders_in(request.template))
    if (half := grammar.half_token(text)) is not None:
        problem = f"the text ends inside a control token or a tag: {text[half:]!r}"
        raise ParseRefusal(ParseFailure.UNCLOSED, problem, half, len(text), CUT_OFF)
    reading = _Reading(request, text, start, grammar, rendered, exact, sampled or prompt is not None)
    refusal: ParseRefusal | None = None
    found: tuple[MessageData, ParseRefusal] | None = None
    for source in reading.sources():
        for message in (each for read in source.messages for each in reading.meanings(read)):
            if grammar.markup_in(message.get("reasoning_content", ""), message["content"]) is not None:
                continue
            for context in [rendered] if prompt is not None else _substitute_prompts(request, rendered, message):
                try:
                    return _result(reading.prove(context, message, source.as_history), prompt, None)
                except ParseRefusal as error:
                    refusal = later(refusal, error)
                    serves = source.serves or "tool_calls" in message
                    if serves and (found is None or found[1].reason is ParseFailure.NOT_RENDERED):
                        found = message, error
    if found is None or exact:
        if exact and refusal is not None and refusal.reason is not ParseFailure.PROMPT:
            raise refusal
        raise explain(text, start, grammar, reading.other_prompts)
    read, differs = found
    made = rendered.conversation.with_messages([*messages, _message(read, text, start)])
    return _result(made, prompt, differs.error(text))


def _known_stop(text: str, grammar: TurnGrammar, unknown: Sequence[str]) -> str:
    """Return a text without its stop token, where the template writes a special token that is not known."""
    placeholders = {PLACEHOLDER.format(name) for name in unknown}
    if not placeholders.intersection(grammar.stops) or text.rstrip().endswith(grammar.stops):
        return text
    return re.sub(rf"(?:{CONTROL_TOKENS.pattern})\s*\Z", "", text)


def _result(conversation: Conversation, prompt: Any, differs: NotRepresentable | None) -> ParsedConversation:
    alone = conversation if prompt is not None else Conversation(messages=conversation.messages[-1:])
    return ParsedConversation.of(alone, differs)


def _with_objects(data: MessageData, text: str) -> MessageData | None:
    """Return a message with arguments that are the JSON of a text as objects; None if there are none."""
    calls, changed = [], False
    for call in data.get("tool_calls", ()):
        given = call["function"]["arguments"]
        if isinstance(given, str) and given in text and f'"{given}"' not in text:
            try:
                given, changed = STRICT.decode(given), True
            except (ValueError, RecursionError):
                return None
        calls.append({**call, "function": {**call["function"], "arguments": given}})
    return {**data, "tool_calls": calls} if changed else None


def _message(data: MessageData, text: str, start: int) -> Any:
    try:
        return Conversation.coerce([data], clean_nulls="never").messages[0]
    except ConversationError as error:
        raise ParseRefusal(ParseFailure.NOT_A_CONVERSATION, error.message, start, len(text), error.hint) from None


def _substitute_prompts(request: ParseRequest, prompt: Prompt, message: MessageData) -> Iterator[Prompt]:
    """Yield possible prompts for a completion without one; if ids count the calls, one with as many earlier calls."""
    yield prompt
    number = next((call.get("id", "") for call in message.get("tool_calls", ())), "")
    if number.isascii() and number.isdigit() and 0 < int(number[:9]) <= _MAX_CALLS:
        calls = [{"id": str(index), "function": {"name": "f", "arguments": {}}} for index in range(int(number))]
        yield render_prompt(request, [_QUESTION, {"role": "assistant", "tool_calls": calls}, _QUESTION])


@dataclass(frozen=True)
class _Source:
    """Messages that a completion may be, by one grammar.

    Attributes:
        messages: the messages.
        serves: whether a message that the template writes differently may be one of them.
        as_history: whether the text is read as the turn in the history, where that does not begin like the prompt.
    """

    messages: Iterator[MessageData]
    serves: bool = True
    as_history: bool = False


@dataclass(frozen=True)
class _Reading:
    """A completion that is read: the text from ``start`` on, after a prompt."""

    request: ParseRequest
    text: str
    start: int
    grammar: TurnGrammar
    prompt: Prompt
    exact: bool
    sampled: bool
    rendered: dict[str, tuple[Conversation, str]] = field(default_factory=dict)

    def sources(self) -> Iterator[_Source]:
        """Yield the messages that the completion may be, by each grammar."""
        yield _Source(self._read(self.grammar))
        for head in () if self.sampled else self.grammar.heads:
            grammar = replace(self.grammar, supplied=head, composed=())
            yield _Source(self._read(grammar), serves=False, as_history=True)

    def _read(self, grammar: TurnGrammar) -> Iterator[MessageData]:
        schemas = schemas_of(self.request.kwargs.get("tools") or self.prompt.conversation.tools)
        return grammar.read(self.text, self.start, schemas)

    def meanings(self, message: MessageData) -> Iterator[MessageData]:
        """Yield the messages that a message which was read may be; in serving, arguments are objects if they can be."""
        if self.exact:
            yield message
        elif "tool_calls" not in message:
            # JSON that is a call in another spelling is one, although it is an answer, too.
            yield self.untagged_call or message
        else:
            objects = _with_objects(message, self.text)
            yield message if objects is None or (self._takes(message) and not self._takes(objects)) else objects

    def _takes(self, message: MessageData) -> bool:
        """Return whether the template renders a message."""
        try:
            self.prove(self.prompt, message, as_history=False)
        except ParseRefusal as error:
            return error.reason is not ParseFailure.NOT_RENDERED
        return True

    @property
    def other_prompts(self) -> Mapping[str, str]:
        """The generation prompts of the template by setting."""
        facts = facts_of(self.request.template)
        return {**facts.generation_prompts, "the defaults of all kwargs": facts.generation_prompt or ""}

    @cached_property
    def untagged_call(self) -> MessageData | None:
        """The message with calls that no tag marks; None if the text is none."""
        if not self.grammar.untagged_calls:
            return None
        return next((message for message in self._read(self.grammar) if "tool_calls" in message), None)

    def prove(self, prompt: Prompt, data: MessageData, as_history: bool) -> Conversation:
        """Return the conversation of a prompt and a message whose rendering continues the prompt with the text."""
        text, start = self.text, self.start
        conversation, rendered = self._render(prompt, data)
        rest = text[start:]
        if rendered.startswith(prompt.text):
            sampled = rendered[len(prompt.text) :]
            if sampled.startswith(rest) and self._unsampled(sampled[len(rest) :]):
                return conversation
            raise difference(text, sampled, start)
        if as_history and rendered[before_split_token(rendered, common_length(rendered, prompt.text)) :] == rest:
            return conversation
        problem = "the template does not start such a turn with its generation prompt"
        raise ParseRefusal(ParseFailure.PROMPT, problem, start, len(text))

    def _render(self, prompt: Prompt, data: MessageData) -> tuple[Conversation, str]:
        """Return the conversation of a prompt and a message, and its text, rendered once."""
        key = prompt.text + repr(data)
        if key not in self.rendered:
            message = _message(data, self.text, self.start)
            conversation = prompt.conversation.with_messages([*prompt.conversation.messages, message])
            try:
                self.rendered[key] = conversation, self.request.render(conversation)
            except (ConversationError, RenderError) as error:
                problem = f"it cannot be rendered: {error.message}"
                raise ParseRefusal(ParseFailure.NOT_RENDERED, problem, self.start, len(self.text), error.hint) from None
        return self.rendered[key]

    def _unsampled(self, missing: str) -> bool:
        """Return whether a missing end is the stop token, which servers remove, or text that is not sampled."""
        return missing in self.grammar.unsampled
