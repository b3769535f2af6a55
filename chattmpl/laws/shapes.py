"""Shapes: which kinds of conversations a template supports, found by rendering small ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.laws.law import CLOCK
from chattmpl.template.template import Template

_ASK = {"role": "user", "content": "Quince"}
_SAY = {"role": "assistant", "content": "Apricot"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "walrus",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"tusk": {"type": "string", "description": "Which."}}},
    },
}


@dataclass(frozen=True)
class Shape:
    """The arguments of `chattmpl.conversation.strategies.conversations` for conversations that a template supports.

    Attributes:
        parts: content in lists of parts.
        system, developer: a first message of this role.
        tools, calls, parallel: tools; calls with results; several calls in one message.
        reasoning: reasoning of assistant messages.
        documents: documents beside the messages.
        any_order: roles in orders other than questions and answers.
    """

    parts: bool = True
    system: bool = True
    developer: bool = True
    tools: bool = True
    calls: bool = True
    parallel: bool = True
    reasoning: bool = True
    documents: bool = True
    any_order: bool = True

    def missing(self) -> list[str]:
        """What is not supported, in words."""
        names = {
            "parts": "content in parts",
            "system": "system messages",
            "developer": "developer messages",
            "tools": "tools",
            "calls": "tool calls",
            "parallel": "parallel tool calls",
            "reasoning": "reasoning",
            "documents": "documents",
            "any_order": "roles in any order",
        }
        return [names[name] for name, value in asdict(self).items() if not value]


def shape_of(template: Template) -> Shape:
    """What a template supports: what it renders without an error, and shows in its text."""
    in_parts = only_parts(template)

    def shows(words: tuple[str, ...], *messages: dict[str, Any], **beside: Any) -> bool:
        conversation = Conversation.coerce({"messages": list(messages), **beside})
        text = _text(template, as_parts(conversation) if in_parts else conversation)
        return text is not None and all(word in text for word in words)

    def calling(*tusks: str) -> tuple[dict[str, Any], ...]:
        function = [{"name": "walrus", "arguments": {"tusk": tusk}} for tusk in tusks]
        ids = [f"walrus{index:03}" for index in range(len(tusks))]
        calls = [{"id": ids[index], "type": "function", "function": item} for index, item in enumerate(function)]
        results = [
            {"role": "tool", "name": "walrus", "tool_call_id": identifier, "content": "Raspberry"} for identifier in ids
        ]
        return (_ASK, {"role": "assistant", "content": "", "tool_calls": calls}, *results, _SAY)

    part = {"role": "user", "content": [{"type": "text", "text": "Quince"}]}
    calls = shows(("walrus", "left", "Raspberry"), *calling("left"), tools=[_TOOL])
    return Shape(
        parts=in_parts or shows(("Quince",), part, _SAY),
        system=shows(("Badger",), {"role": "system", "content": "Badger"}, _ASK, _SAY),
        developer=shows(("Badger",), {"role": "developer", "content": "Badger"}, _ASK, _SAY),
        tools=shows(("walrus",), _ASK, _SAY, tools=[_TOOL]),
        calls=calls,
        parallel=calls and shows(("left", "right"), *calling("left", "right"), tools=[_TOOL]),
        reasoning=shows(("Papaya",), _ASK, {**_SAY, "reasoning_content": "Papaya"}),
        documents=shows(("Fig",), _ASK, _SAY, documents=[{"title": "T", "text": "Fig"}]),
        any_order=shows(("Quince", "Apricot"), _SAY, _SAY, _ASK, _ASK)
        and shows(("Badger",), _ASK, _SAY, {"role": "system", "content": "Badger"}, _ASK, _SAY),
    )


def only_parts(template: Template) -> bool:
    """Whether a template understands content only as a list of parts."""
    plain = Conversation.coerce([_ASK, _SAY])
    text = _text(template, plain)
    if text is not None and "Apricot" in text:
        return False
    text = _text(template, as_parts(plain))
    return text is not None and "Apricot" in text


def as_parts(conversation: Conversation) -> Conversation:
    """The conversation with every text as a list of one part."""
    data = conversation.dump()
    for message in data["messages"]:
        if isinstance(message.get("content"), str):
            message["content"] = [{"type": "text", "text": message["content"]}]
    return Conversation.coerce(data)


def _text(template: Template, conversation: Conversation) -> str | None:
    try:
        return template.render(conversation, clock=CLOCK).text
    except ChatTmplError:
        return None
