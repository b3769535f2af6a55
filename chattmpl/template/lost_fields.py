"""Declared reasons for which a field of a conversation is not rendered."""

from __future__ import annotations

import re

from chattmpl.conversation.models import Conversation
from chattmpl.template.family import Family
from chattmpl.template.template import Rendering

_REASONING = re.compile(r"messages\[\d+\]\.(?:reasoning_content|reasoning|thinking)\b")
_PLACE = re.compile(r"\[(?:role=(\w+)|(\d+):)?\]")
"""An index in the path of a limit: any index, one of a message with a role, or any from a number on."""


def why_lost(rendering: Rendering, path: str) -> str | None:
    """Return the declaration that a lost field falls under, a retention policy or a limit of the family, or None.

    Args:
        rendering: the rendering that lost it.
        path: the field, as `Rendering.lost` names it.
    """
    policy = rendering.template.retention
    if policy not in (None, "all") and _REASONING.match(path):
        return f"the retention policy {policy!r} drops it; --retention all keeps it"
    if rendering.template.family is None:
        return None
    return _declared(rendering.template.family, rendering.conversation, path)


def _declared(family: Family, conversation: Conversation, path: str) -> str | None:
    """Return the family's reason for which it cannot render the field."""
    for limit in family.limits:
        if any(_matches(pattern, conversation, path) for pattern in limit.fields):
            return f"{family.name} declares it: {limit.why}"
    return None


def _matches(pattern: str, conversation: Conversation, path: str) -> bool:
    """Return whether a limit such as ``messages[role=tool].name`` or ``documents`` covers the field."""
    places: list[tuple[str | None, int]] = []
    expression = ""
    position = 0
    for place in _PLACE.finditer(pattern):
        expression += re.escape(pattern[position : place.start()]) + r"\[(\d+)\]"
        places.append((place[1], int(place[2] or 0)))
        position = place.end()
    expression += re.escape(pattern[position:])
    match = re.match(rf"{expression}(?![^.\[])", path)
    if match is None:
        return False
    return all(
        int(index) >= first and (role is None or conversation.messages[int(index)].role == role)
        for (role, first), index in zip(places, match.groups(), strict=True)
    )
