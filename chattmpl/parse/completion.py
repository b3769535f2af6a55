"""Parsing of completions: the text that a model sampled after a prompt, as one assistant message."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ConversationError, RenderError, UsageError
from chattmpl.parse.conversation import ParseRequest
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.refusal import ParseFailure, ParseRefusal, difference, later
from chattmpl.parse.reply import MessageData, read_reply
from chattmpl.template.template import Template

_QUESTION: dict[str, Any] = {"role": "user", "content": "?"}
"""The prompt of a completion that is parsed without one."""

_MAX_CALLS = 1000
"""Greatest number of earlier calls that a substitute prompt contains."""


@dataclass(frozen=True)
class Prompt:
    """The input of the model: a conversation, its text, and the generation prompt at the end of the text."""

    conversation: Conversation
    text: str
    generation_prompt: str


@lru_cache(maxsize=16)
def keep_reasoning(template: Template) -> Template:
    """Return the template with the retention that renders each turn as it was sampled."""
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


def _reply_end(grammar: Grammar, text: str, start: int) -> int:
    """Return the end of the reply: before its stop token, if any, and the text that the frame writes after it."""
    for ending in grammar.endings:
        if text.endswith(ending) and len(text) - len(ending) >= start:
            return len(text) - len(ending)
    return len(text)


def parse_completion(request: ParseRequest, text: str, prompt: Any, generation_prompt: bool | None) -> Conversation:
    """Return the messages of the prompt, if one was given, followed by the message that renders to the completion.

    Raises:
        ParseRefusal: no message renders to it.
    """
    grammar = request.grammar
    request = replace(request, template=keep_reasoning(request.template))
    rendered = render_prompt(request, prompt)
    start = reply_start(rendered, text, generation_prompt)
    refusal: ParseRefusal | None = None
    for message in read_reply(grammar, text, start, _reply_end(grammar, text, start)):
        _check_stop_token(grammar, message, text, start)
        for context in [rendered] if prompt is not None else _substitute_prompts(request, rendered, message):
            try:
                found = _prove(request, text, start, context, message)
                return found if prompt is not None else Conversation(messages=found.messages[-1:])
            except ParseRefusal as error:
                refusal = later(refusal, error)
    assert refusal is not None, "a reply has at least one candidate"
    raise refusal


def _check_stop_token(grammar: Grammar, message: MessageData, text: str, start: int) -> None:
    """Raise if content or reasoning contains a stop token, since no model continues after one."""
    for token in grammar.stop_tokens:
        if token in message["content"] or token in message.get("reasoning_content", ""):
            found = text.find(token, start)
            raise ParseRefusal(
                ParseFailure.AFTER_STOP, "the text continues after a stop token", found, found + len(token)
            )


def _substitute_prompts(request: ParseRequest, prompt: Prompt, message: MessageData) -> Iterator[Prompt]:
    """Yield possible prompts for a completion without one; if ids count the calls, one with as many earlier calls."""
    yield prompt
    number = next((call.get("id", "") for call in message.get("tool_calls", ())), "")
    if number.isascii() and number.isdigit() and 0 < int(number[:9]) <= _MAX_CALLS:
        calls = [{"id": str(index), "function": {"name": "f", "arguments": {}}} for index in range(int(number))]
        yield render_prompt(request, [_QUESTION, {"role": "assistant", "tool_calls": calls}, _QUESTION])


def _prove(request: ParseRequest, text: str, start: int, prompt: Prompt, data: MessageData) -> Conversation:
    try:
        message = Conversation.coerce([data], clean_nulls="never").messages[0]
        conversation = prompt.conversation.with_messages([*prompt.conversation.messages, message])
        rendered = request.render(conversation)
    except (ConversationError, RenderError) as error:
        raise ParseRefusal(
            ParseFailure.NOT_RENDERED, f"it cannot be rendered: {error.message}", start, len(text), error.hint
        ) from None
    if not rendered.startswith(prompt.text):
        problem = "the template does not start such a turn with its generation prompt"
        raise ParseRefusal(ParseFailure.PROMPT, problem, start, len(text))
    sampled = rendered[len(prompt.text) :]
    rest = text[start:]
    if sampled.startswith(rest) and _may_be_missing(request.grammar, sampled[len(rest) :]):
        return conversation
    raise difference(text, sampled, start)


def _may_be_missing(grammar: Grammar, missing: str) -> bool:
    """Return whether the missing end is text that is not sampled, or the stop token, which servers remove."""
    for close in ("", *grammar.closes, *grammar.stop_tokens):
        stop = max((token for token in grammar.stop_tokens if close.startswith(token)), key=len, default="")
        if missing in (close, close[len(stop) :]):
            return True
    return False
