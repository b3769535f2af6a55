"""The fields that a rendering lost: what they held, and why they are gone, where that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from chattmpl.conversation import Conversation
from chattmpl.family import Family
from chattmpl.render import Rendering
from chattmpl.report.visible import excerpt, visible

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_REASONING = re.compile(r"messages\[\d+\]\.(?:reasoning_content|reasoning|thinking)\b")
_PLACE = re.compile(r"\[(?:role=(\w+))?\]")


@dataclass(frozen=True, slots=True)
class Loss:
    """A field that no character came from.

    Attributes:
        path: the field, as in ``messages[2].tool_call_id``.
        held: what it held, on one line; empty where the path does not lead to a value.
        why: the reason, or None: then nobody has said that it would be lost.
    """

    path: str
    held: str
    why: str | None


def losses(rendering: Rendering) -> tuple[Loss, ...]:
    """The losses of a rendering, in order."""
    if not rendering.lost:
        return ()
    data = rendering.conversation.to_template_input()
    data["chat_template_kwargs"] = data.pop("kwargs")
    return tuple(Loss(visible(path), _held(data, path), _why(rendering, path)) for path in rendering.lost)


def _held(data: Any, path: str) -> str:
    for name, index in _STEP.findall(path):
        if name and isinstance(data, dict) and name in data:
            data = data[name]
        elif index and isinstance(data, list) and int(index) < len(data):
            data = data[int(index)]
        else:
            return ""
    return excerpt(data)


def _why(rendering: Rendering, path: str) -> str | None:
    policy = rendering.template.retention
    if policy not in (None, "all") and _REASONING.match(path):
        return f"the retention policy {policy!r} drops it; --retention all keeps it"
    if rendering.template.family is None:
        return None
    return _declared(rendering.template.family, rendering.conversation, path)


def _declared(family: Family, conversation: Conversation, path: str) -> str | None:
    """Why the family cannot render the field, in its own words."""
    for limit in family.limits:
        if any(_matches(pattern, conversation, path) for pattern in limit.fields):
            return f"{family.name} declares it: {limit.why}"
    return None


def _matches(pattern: str, conversation: Conversation, path: str) -> bool:
    """Whether a limit such as ``messages[role=tool].name`` or ``documents`` holds the field or something around it."""
    roles: list[str] = []
    expression = ""
    position = 0
    for place in _PLACE.finditer(pattern):
        expression += re.escape(pattern[position : place.start()]) + r"\[(\d+)\]"
        roles.append(place.group(1) or "")
        position = place.end()
    expression += re.escape(pattern[position:])
    match = re.match(rf"{expression}(?![^.\[])", path)
    if match is None:
        return False
    messages = conversation.messages
    return all(not role or messages[int(index)].role == role for role, index in zip(roles, match.groups(), strict=True))
