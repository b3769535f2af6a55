"""Completions: what a model sampled after a prompt, read as one message of the assistant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ConversationError, RenderError, UsageError
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.refusal import Refusal, differs
from chattmpl.parse.reply import Reading, readings
from chattmpl.parse.whole import Call
from chattmpl.template.template import Template

_QUESTION: dict[str, Any] = {"role": "user", "content": "?"}
"""The prompt of a completion that came without one."""

_MOST_CALLS = 1000
"""How many calls a stand-in for a prompt has at most."""


@dataclass(frozen=True)
class Prompt:
    """What the model was given: a conversation, its text, and the part of it that asks for the turn."""

    conversation: Conversation
    text: str
    generation_prompt: str


def as_sampled(template: Template) -> Template:
    """The template under the retention that renders each turn as it was sampled."""
    return _as_sampled(template) if template.program.has_reasoning and template.retention != "all" else template


@lru_cache(maxsize=16)
def _as_sampled(template: Template) -> Template:
    return template.with_retention("all")


def prompt_of(call: Call, given: Any) -> Prompt:
    """The prompt, rendered.

    Raises:
        UsageError: it cannot be rendered.
    """
    try:
        conversation = Conversation.coerce([_QUESTION] if given is None else given)
        text, before = call.render(conversation, prompt=True), call.render(conversation)
    except (ConversationError, RenderError) as error:
        raise UsageError(f"the prompt cannot be rendered: {error.message}", hint=error.hint) from None
    return Prompt(conversation, text, text[len(before) :] if text.startswith(before) else "")


def reply_start(prompt: Prompt, text: str, generation_prompt: bool | None) -> int:
    """Where the reply begins in a text that may repeat the prompt, or the generation prompt alone, in characters.

    Raises:
        Refusal: it should, and does not.
    """
    if generation_prompt is False:
        return 0
    for supplied in (prompt.text, prompt.generation_prompt):
        if supplied and text.startswith(supplied):
            return len(supplied)
    if generation_prompt:
        raise differs(text, prompt.generation_prompt)
    return 0


def reply_end(grammar: Grammar, text: str, start: int) -> int:
    """Where the reply ends: before its stop token, if it has one, and what the frame has behind it."""
    for ending in grammar.endings:
        if ending and text.endswith(ending) and len(text) - len(ending) >= start:
            return len(text) - len(ending)
    return len(text)


def parse_completion(call: Call, text: str, given: Any, generation_prompt: bool | None) -> Conversation:
    """The prompt's messages, if one was given, and the one that renders to the completion behind it.

    Raises:
        Refusal: no message does.
    """
    call = replace(call, template=as_sampled(call.template))
    prompt = prompt_of(call, given)
    start = reply_start(prompt, text, generation_prompt)
    refusal: Refusal | None = None
    for reading in readings(call.grammar, text, start, reply_end(call.grammar, text, start)):
        _check_stop(call.grammar, reading, text, start)
        for context in [prompt] if given is not None else _stand_ins(call, prompt, reading):
            try:
                found = _proved(call, text, start, context, reading)
                return found if given is not None else Conversation(messages=found.messages[-1:])
            except Refusal as error:
                refusal = error if refusal is None or error.start > refusal.start else refusal
    assert refusal is not None, "a reply has a reading"
    raise refusal


def _check_stop(grammar: Grammar, reading: Reading, text: str, start: int) -> None:
    """Raises for a stop token in what is no frame: no model goes on after one."""
    for token in grammar.stop_tokens:
        if token in reading["content"] or token in reading.get("reasoning_content", ""):
            found = text.find(token, start)
            raise Refusal("the text goes on after a stop token", found, found + len(token))


def _stand_ins(call: Call, prompt: Prompt, reading: Reading) -> Iterator[Prompt]:
    """Prompts that a completion without one may have had: where ids count the calls, one with as many before it."""
    yield prompt
    number = next((made.get("id", "") for made in reading.get("tool_calls", ())), "")
    if number.isascii() and number.isdigit() and 0 < int(number[:9]) <= _MOST_CALLS:
        made = [{"id": str(index), "function": {"name": "f", "arguments": {}}} for index in range(int(number))]
        yield prompt_of(call, [_QUESTION, {"role": "assistant", "tool_calls": made}, _QUESTION])


def _proved(call: Call, text: str, start: int, prompt: Prompt, reading: Reading) -> Conversation:
    try:
        message = Conversation.coerce([reading], clean_nulls="never").messages[0]
        whole = prompt.conversation.with_messages([*prompt.conversation.messages, message])
        rendered = call.render(whole)
    except (ConversationError, RenderError) as error:
        raise Refusal(f"no rendering: {error.message}", start, len(text), error.hint) from None
    if not rendered.startswith(prompt.text):
        raise Refusal("no such turn can follow its prompt: the template begins it otherwise", start, len(text))
    sampled = rendered[len(prompt.text) :]
    rest = text[start:]
    if sampled.startswith(rest) and _may_lack(call.grammar, sampled[len(rest) :]):
        return whole
    raise differs(text, sampled, start)


def _may_lack(grammar: Grammar, missing: str) -> bool:
    """Whether this is no part of what was sampled, or the stop token, which servers take away."""
    for close in ("", *grammar.closes, *grammar.stop_tokens):
        stop = max((token for token in grammar.stop_tokens if close.startswith(token)), key=len, default="")
        if missing in (close, close[len(stop) :]):
            return True
    return False
