"""Shrinking of a counterexample to the smallest conversation for which the law still does not hold."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import Case, Heads, Law, evaluate_all
from chattmpl.laws.outcome import Counterexample

_TRIES = 400
"""The most smaller conversations to try."""

_OPTIONAL = ("reasoning_content", "reasoning", "thinking", "tool_calls", "tool_call_id", "name", "train", "weight")


def shrink(law: Law, found: Counterexample, case: Case) -> Counterexample:
    """Return the smallest counterexample that small steps lead to: fewer messages and fields, shorter texts.

    A step is kept if the law still fails with the same cause. A conversation with an ordinary order of roles keeps one.
    The place of the result is exact to the character.
    """
    tries = 0
    tried: set[str] = set()
    heads: Heads = {}
    shrunk = True
    while shrunk and tries < _TRIES:
        shrunk = False
        ordinary = is_ordinary(found.conversation.dump()["messages"])
        for smaller in _smaller(found.conversation.dump()):
            if ordinary and not is_ordinary(smaller["messages"]):
                continue
            if (written := repr(smaller)) in tried:
                continue
            tried.add(written)
            tries += 1
            if tries > _TRIES:
                break
            again = _again(law, smaller, case, cause(found), heads)
            if again is not None:
                found, shrunk = again, True
                break
    return _exact(law, found, case, heads)


def cause(found: Counterexample) -> tuple[Any, ...]:
    """Return the identity of the cause: the problem, its place, and for engines their complaint."""
    if found.law == "lossless":
        # The kind of field is enough, and a key of the arguments adds nothing.
        return found.law, found.field, found.place is not None
    place = found.place.start if found.place else None
    return *found.problem, place, found.field if found.law == "portable" else None


def is_ordinary(messages: list[dict[str, Any]]) -> bool:
    """Return whether the user speaks first and results follow calls."""
    roles = [message["role"] for message in messages]
    first = next((role for role in roles if role not in ("system", "developer")), "user")
    if first != "user":
        return False
    for before, message in pairwise(messages):
        if message["role"] == "tool" and not (before["role"] == "tool" or before.get("tool_calls")):
            return False
    return True


def _again(
    law: Law,
    data: dict[str, Any],
    case: Case,
    wanted: tuple[Any, ...],
    heads: Heads,
) -> Counterexample | None:
    try:
        conversation = Conversation.coerce(data)
    except ChatTmplError:
        return None
    smaller = Case(case.template, conversation, case.kwargs, case.tokenizer, heads=heads)
    found = (outcome for outcome in evaluate_all(law, smaller) if isinstance(outcome, Counterexample))
    return next((outcome for outcome in found if cause(outcome) == wanted), None)


def _exact(law: Law, found: Counterexample, case: Case, heads: Heads) -> Counterexample:
    """Return the same counterexample with its exact place."""
    again = Case(case.template, found.conversation, case.kwargs, case.tokenizer, exact=True, heads=heads)
    for outcome in evaluate_all(law, again):
        if isinstance(outcome, Counterexample) and (outcome.problem, outcome.path) == (found.problem, found.path):
            return outcome
    return found


def _smaller(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    messages: list[dict[str, Any]] = data["messages"]
    for key in ("tools", "documents", "chat_template_kwargs", "template"):
        if key in data:
            yield {name: value for name, value in data.items() if name != key}
        if key in ("tools", "documents") and len(data.get(key) or ()) > 1:
            yield {**data, key: data[key][:1]}
    if isinstance(data.get("tools"), list):
        plain = {"type": "function", "function": {"name": "f", "description": "F."}}
        if data["tools"] != [plain]:
            yield {**data, "tools": [plain]}
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
            if len(text) > 1:
                yield from ({**message, key: [part]} for part in text)
        elif isinstance(text, str) and len(text) > 1:
            for shorter in ("a", text[: len(text) // 2], text[len(text) // 2 :], text[1:], text[:-1]):
                if len(shorter) < len(text):
                    yield {**message, key: shorter}
    calls = message.get("tool_calls") or []
    if len(calls) > 1:
        yield {**message, "tool_calls": calls[:1]}
    for index, call in enumerate(calls):
        for changed in _smaller_call(call):
            yield {**message, "tool_calls": [*calls[:index], changed, *calls[index + 1 :]]}


def _smaller_call(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "id" in call:
        yield {name: value for name, value in call.items() if name != "id"}
    function = call.get("function")
    if isinstance(function, dict):
        if function.get("arguments") not in ({}, "{}"):
            yield {**call, "function": {**function, "arguments": {}}}
        if len(str(function.get("name"))) > 1:
            yield {**call, "function": {**function, "name": "f"}}
