"""The messages that capabilities are probed with: each word in them occurs once, so that it can be found again."""

from __future__ import annotations

from typing import Any

from chattmpl.lint.conversations import TOOL, as_parts

__all__ = ["TOOL", "as_parts"]

Message = dict[str, Any]

ASK: Message = {"role": "user", "content": "Question quince"}
SAY: Message = {"role": "assistant", "content": "Answer apricot"}
ASK_MORE: Message = {"role": "user", "content": "Follow fig"}
SAY_MORE: Message = {"role": "assistant", "content": "Again almond"}
SYSTEM: Message = {"role": "system", "content": "Behave like a badger"}
DEVELOPER: Message = {"role": "developer", "content": "Develop like a dingo"}
DOCUMENT = {"doc_id": "shelf7", "title": "Tulip tales", "text": "Text turnip", "contents": "Text turnip"}

IDENTIFIERS = ("walrusone", "walrustwo")
"""Of the calls: nine letters, since some templates refuse any other length."""

TUSKS = ("lefttusk", "righttusk")
FRUITS = ("raspberry", "rhubarb")
TRACES = ("Ponder papaya", "Muse mango", "Wonder walnut", "Reflect radish")


def thinking(message: Message, trace: str) -> Message:
    """The message with reasoning, under a name from which templates are given all names."""
    return {**message, "reasoning": trace}


def calling(tusks: tuple[str, ...] = TUSKS[:1], *, text: bool = False, content: str | None = "") -> Message:
    """A message that calls the tool once for each tusk; with ``text`` the arguments are a string of JSON."""
    calls = []
    for identifier, tusk in zip(IDENTIFIERS, tusks, strict=False):
        arguments: Any = f'{{"tusk": "{tusk}"}}' if text else {"tusk": tusk}
        function = {"name": TOOL["function"]["name"], "arguments": arguments}  # type: ignore[index]
        calls.append({"id": identifier, "type": "function", "function": function})
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(number: int = 0) -> Message:
    """What the tool returned for a call."""
    name = TOOL["function"]["name"]  # type: ignore[index]
    return {
        "role": "tool",
        "name": name,
        "content": f"Result {FRUITS[number]}",
        "tool_call_id": IDENTIFIERS[number],
    }
