"""Parsing: from a rendered text back to the conversation, or a refusal that says where and why.

What a family's text looks like is data, in the ``[parse]`` table of its ``family.toml``. A reading is returned only if
rendering it gives the text again.
"""

from __future__ import annotations

from typing import Any

from chattmpl.conversation.models import Conversation, Message
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.parse.completion import as_sampled, parse_completion, prompt_of, reply_start
from chattmpl.parse.grammar import grammar_of
from chattmpl.parse.refusal import Refusal
from chattmpl.parse.stream import Parser, partial_reply
from chattmpl.parse.whole import Call, Clock, known_messages, parse_whole
from chattmpl.template.template import Template

__all__ = ["Parser", "parse", "parser"]


def parse(
    template: Template,
    text: str,
    /,
    *,
    completion: bool = False,
    generation_prompt: bool | None = None,
    prompt: Any = None,
    clock: Clock = None,
    **template_kwargs: Any,
) -> Conversation:
    """The conversation that renders to this text; see `chattmpl.Template.parse`."""
    call = _call(template, completion, prompt, clock, template_kwargs)
    if not isinstance(text, str):
        raise UsageError(f"what is parsed is text, not {type(text).__name__}", hint="decode the tokens first")
    try:
        if completion:
            return parse_completion(call, text, prompt, generation_prompt)
        return parse_whole(call, text, generation_prompt)
    except Refusal as refusal:
        raise refusal.error(text) from None


def parser(
    template: Template,
    /,
    *,
    completion: bool = False,
    generation_prompt: bool | None = None,
    prompt: Any = None,
    clock: Clock = None,
    **template_kwargs: Any,
) -> Parser:
    """A parser that is fed piece by piece; see `chattmpl.Template.parser`."""
    call = _call(template, completion, prompt, clock, template_kwargs)

    def finish(text: str) -> Conversation:
        options: dict[str, Any] = {"completion": completion, "generation_prompt": generation_prompt, "prompt": prompt}
        return parse(template, text, clock=clock, **options, **template_kwargs)

    if not completion:
        return Parser(finish, lambda text: known_messages(call, text))
    sampled = Call(as_sampled(template), call.grammar, clock, call.kwargs)
    context = prompt_of(sampled, prompt)

    def messages(text: str) -> list[Message]:
        supplied = [part for part in (context.text, context.generation_prompt) if part]
        if generation_prompt is not False and any(part.startswith(text) for part in supplied):
            return []
        try:
            start = reply_start(context, text, generation_prompt)
            reading = partial_reply(call.grammar, text, start)
            return Conversation.coerce([reading], clean_nulls="never").messages if len(reading) > 1 else []
        except (Refusal, ChatTmplError):
            return []

    return Parser(finish, messages)


def _call(template: Template, completion: bool, prompt: Any, clock: Clock, kwargs: dict[str, Any]) -> Call:
    if prompt is not None and not completion:
        raise UsageError("a whole conversation has its prompt in it", hint="use prompt with completion=True")
    for name in ("add_generation_prompt", "continue_final_message"):
        if name in kwargs:
            raise UsageError(f"parsing takes no {name}", hint="generation_prompt says whether the text has one")
    return Call(template, grammar_of(template), clock, kwargs)
