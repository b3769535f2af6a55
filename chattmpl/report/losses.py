"""The fields that a rendering lost: what they held, and why they are gone, where that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from chattmpl.report.visible import excerpt, visible
from chattmpl.template.lost_fields import why_lost
from chattmpl.template.rendering import Rendering

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


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
    return tuple(Loss(visible(path), _held(data, path), why_lost(rendering, path)) for path in rendering.lost)


def _held(data: Any, path: str) -> str:
    for name, index in _STEP.findall(path):
        if name and isinstance(data, dict) and name in data:
            data = data[name]
        elif index and isinstance(data, list) and int(index) < len(data):
            data = data[int(index)]
        else:
            return ""
    return excerpt(data)
