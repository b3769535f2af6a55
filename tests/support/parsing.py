"""Expected results of parsing: the rendered conversation, reduced to what its text shows."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from chattmpl import Conversation, Message, Template, ToolCall
from chattmpl.template.family import family_names

CLOCK = dt.datetime(2025, 7, 10, 12, 0)
FAMILIES = family_names()


def as_sampled(family: str) -> Template:
    """The family, under the retention that keeps every turn as it was sampled."""
    template = Template.load(family)
    return template.with_retention("all") if template.program.has_reasoning else template


def differences(parsed: Conversation, given: Conversation) -> list[str]:
    """The paths at which two conversations differ.

    Flags of training, names of reasoning, arguments as an object or as JSON, content as text or as parts of text, and
    no content or empty content are no difference.
    """
    ours, theirs = _plain(parsed), _plain(given)
    return sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))


def _plain(conversation: Conversation) -> dict[str, Any]:
    messages = [_message(message) for message in conversation.messages]
    beside = {"tools": conversation.tools, "documents": conversation.documents}
    return dict(_leaves({"messages": messages, **beside}, ""))


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        content = "".join(part["text"] for part in content)
    return {
        "role": message.role,
        "content": content or "",
        "reasoning_content": message.reasoning_content,
        "tool_calls": [_call(call) for call in message.tool_calls or ()],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    arguments: Any = call.function.arguments
    with contextlib.suppress(ValueError, TypeError):
        arguments = json.loads(arguments)
    return {"id": call.id, "name": call.function.name, "arguments": repr(arguments)}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    elif value is not None:
        yield path, value
