"""The reasoning mode of a row: the one that its data shows, and the one that it requests."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import REASONING_NAMES, as_dict, as_list
from chattmpl.probing import facts_of
from chattmpl.template.template import Template

Mode = Literal["think", "no-think", "mixed"]

MODES: tuple[Mode, ...] = ("think", "no-think", "mixed")
SWITCHES = ("enable_thinking", "thinking")
"""Template kwargs that switch reasoning."""

_OPEN, _CLOSE = "<think>", "</think>"
_FLAG = re.compile(r"(?<![\w/<])/(no_)?think(?![\w/>])")


@dataclass(frozen=True, slots=True)
class Switch:
    """The template kwarg that switches reasoning.

    Attributes:
        name: the kwarg; None if the template reads none of `SWITCHES`.
        default: the mode without it; None if unknown.
    """

    name: str | None = None
    default: Mode | None = None


def find_switch(template: Template) -> Switch:
    """Return the switch of a template and its default."""
    modes = facts_of(template).modes
    mode = next((modes[name] for name in SWITCHES if name in modes), None)
    if mode is None:
        return Switch()
    if mode.kind != "switch" or mode.default is None:
        return Switch(mode.name)
    return Switch(mode.name, "think" if mode.default else "no-think")


def messages_of(conversation: Any) -> list[dict[str, Any]]:
    """Return the messages of a row as dicts, without those that are not messages."""
    if isinstance(conversation, Conversation):
        return [message.dump() for message in conversation.messages]
    given = as_list(conversation.get("messages") if isinstance(conversation, Mapping) else conversation)
    found = (as_dict(message) for message in (given if isinstance(given, list) else ()))
    return [message for message in found if message is not None]


def text_of(content: Any) -> str:
    """Return the text of a message's content: the string, or that of its parts."""
    if isinstance(content, str):
        return content
    parts = as_list(content)
    if not isinstance(parts, list):
        return ""
    dicts = (as_dict(part) or {} for part in parts)
    return "".join(text for part in dicts if isinstance(text := part.get("text"), str))


def trace_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning in the fields of a message; empty if there is none."""
    for name in REASONING_NAMES:
        if isinstance(trace := message.get(name), str) and trace.strip():
            return trace
    return ""


def has_reasoning_in_content(message: Mapping[str, Any]) -> bool:
    """Return true if the content of a message has text between ``<think>`` and ``</think>``."""
    text = text_of(message.get("content"))
    end = -len(_CLOSE)
    # Each pair is looked at once: a regular expression would search the rest of the text at every opener.
    while (start := text.find(_OPEN, end + len(_CLOSE))) >= 0 and (end := text.find(_CLOSE, start)) >= 0:
        if text[start + len(_OPEN) : end].strip():
            return True
    return False


def has_reasoning(message: Mapping[str, Any]) -> bool:
    """Return true if a message has reasoning in its fields or in its content."""
    return bool(trace_of(message)) or has_reasoning_in_content(message)


def assistants(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the assistant messages."""
    return [message for message in messages if message.get("role") == "assistant"]


def shown_mode(messages: Sequence[Mapping[str, Any]]) -> Mode:
    """Return ``think`` if every assistant message has reasoning, ``no-think`` if none has, else ``mixed``."""
    shown = [has_reasoning(message) for message in assistants(messages)]
    if not any(shown):
        return "no-think"
    return "think" if all(shown) else "mixed"


def mode_of_flag(message: Mapping[str, Any]) -> Mode | None:
    """Return the mode that the last ``/think`` or ``/no_think`` in a system or user message requests.

    In a user message only the first and the last word count: elsewhere, people write about the flags.
    """
    role, text = message.get("role"), text_of(message.get("content"))
    if "think" not in text or role not in ("system", "user"):
        return None
    if role == "user":
        words = text.split()
        text = " ".join(dict.fromkeys((words[0], words[-1])))
    flags = _FLAG.findall(text)
    return None if not flags else "no-think" if flags[-1] else "think"


def mode_of_kwarg(kwargs: Mapping[str, Any], switch: Switch) -> Mode | None:
    """Return the mode that the template kwargs request."""
    for name in (switch.name,) if switch.name else SWITCHES:
        value = kwargs.get(name)
        if isinstance(value, bool):
            return "think" if value else "no-think"
    return None


def requested_modes(
    messages: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any], switch: Switch
) -> list[tuple[int, Mode | None]]:
    """Return the index of each assistant message, and the mode that is requested for it.

    A flag in the text overrides a kwarg, and a later flag an earlier one.
    """
    requested = mode_of_kwarg(kwargs, switch)
    found = []
    for index, message in enumerate(messages):
        if message.get("role") == "assistant":
            found.append((index, requested))
        else:
            requested = mode_of_flag(message) or requested
    return found
