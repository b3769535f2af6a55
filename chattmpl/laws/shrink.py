"""Smaller conversations for which a law still does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chattmpl.conversation import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, Law, evaluate
from chattmpl.laws.outcome import Counterexample

_TRIES = 400
"""How many smaller conversations are tried at most."""

_OPTIONAL = ("reasoning_content", "reasoning", "thinking", "tool_calls", "tool_call_id", "name", "train", "weight")


def shrink(law: Law, found: Counterexample, case: Case) -> Counterexample:
    """The smallest counterexample that small steps lead to: fewer messages and fields, shorter texts.

    A step is kept where the law still fails in the same way: with the same words, but for indices and quoted texts.

    Args:
        law: the law that does not hold.
        found: for which conversation.
        case: the case that it was found with.
    """
    tries = 0
    shrunk = True
    while shrunk and tries < _TRIES:
        shrunk = False
        for smaller in _smaller(found.conversation.dump()):
            tries += 1
            if tries > _TRIES:
                break
            try:
                conversation = Conversation.coerce(smaller)
            except ChatTmplError:
                continue
            again = evaluate(law, Case(case.template, conversation, case.kwargs, case.tokenizer))
            if isinstance(again, Counterexample) and cause(again) == cause(found):
                found, shrunk = again, True
                break
    return found


def cause(found: Counterexample) -> tuple[Any, ...]:
    """What tells one root cause from another: the law, the template line, and the words of the message."""
    words = "".join(char for char in found.message.partition(":")[0] if not char.isdigit())
    # Which kind of message was appended makes no other cause of it.
    words = words.partition(" (")[0]
    unquoted = "".join(part for index, part in enumerate(words.split("'")) if index % 2 == 0)
    return found.law, found.place.line if found.place else None, unquoted


def _smaller(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    messages: list[dict[str, Any]] = data["messages"]
    for key in ("tools", "documents", "chat_template_kwargs", "template"):
        if key in data:
            yield {name: value for name, value in data.items() if name != key}
    for size in (len(messages) // 2, 2, 1):
        for start in range(0, len(messages), max(size, 1)) if size else ():
            kept = messages[:start] + messages[start + size :]
            if kept:
                yield {**data, "messages": kept}
    for index, message in enumerate(messages):
        for changed in _smaller_message(message):
            yield {**data, "messages": [*messages[:index], changed, *messages[index + 1 :]]}


def _smaller_message(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in _OPTIONAL:
        if key in message:
            yield {name: value for name, value in message.items() if name != key}
    for key in ("content", "reasoning_content"):
        text = message.get(key)
        if isinstance(text, list):
            yield {**message, key: "a"}
        elif isinstance(text, str) and len(text) > 1:
            for shorter in ("a", text[: len(text) // 2], text[len(text) // 2 :], text[1:], text[:-1]):
                if len(shorter) < len(text):
                    yield {**message, key: shorter}
    calls = message.get("tool_calls") or []
    if len(calls) > 1:
        yield {**message, "tool_calls": calls[:1]}
