"""The small conversations that templates are probed with. Each word occurs once, so that it can be found again."""

from datetime import datetime
from typing import Any, Literal

from chattmpl.conversation.models import Conversation

Message = dict[str, Any]

Carrier = Literal["field", "part", "content"]
"""The place of a trace: a field, a content part of type ``thinking``, or ``<think>`` tags in the text."""

CLOCK = datetime(2025, 7, 31, 12, 0, 0)
"""The time that ``strftime_now`` reads while a template is probed or checked."""


def _function(name: str, description: str, parameter: str, about: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {parameter: {"type": "string", "description": about}},
                "required": [parameter],
            },
        },
    }


TOOL_NAME = "find_walrus"
PARAMETER = "tusk"
TOOL_DESCRIPTION = "Finds a walrus by its tusk."
TOOL = _function(TOOL_NAME, TOOL_DESCRIPTION, PARAMETER, "Which tusk.")
SECOND_TOOL = _function("count_seals", "Counts seals.", "beach", "Which beach.")
DOCUMENT = {"doc_id": "shelf7", "title": "Tulip tales", "text": "Text turnip", "contents": "Text turnip"}

ASK: Message = {"role": "user", "content": "Question quince"}
SAY: Message = {"role": "assistant", "content": "Answer apricot"}
ASK_MORE: Message = {"role": "user", "content": "Follow fig"}
SAY_MORE: Message = {"role": "assistant", "content": "Again almond"}
SYSTEM: Message = {"role": "system", "content": "Behave like a badger"}
SYSTEM_MORE: Message = {"role": "system", "content": "Listen like a lynx"}
DEVELOPER: Message = {"role": "developer", "content": "Develop like a dingo"}

IDENTIFIERS = ("walrusone", "walrustwo")
"""Ids of tool calls. Some templates refuse ids that are not nine letters long."""

TUSKS = ("lefttusk", "righttusk")
RESULTS = ("Result raspberry", "Result rhubarb")
TRACES = ("Ponder papaya", "Muse mango", "Wonder walnut", "Reflect radish")


def with_trace(message: Message, trace: str, carrier: Carrier = "field") -> Message:
    """Return the message with a reasoning trace. A field is ``reasoning``, which templates see under all its names."""
    if carrier == "field":
        return {**message, "reasoning": trace}
    if carrier == "part":
        parts = [{"type": "thinking", "thinking": trace}, {"type": "text", "text": message["content"]}]
        return {**message, "content": parts}
    return {**message, "content": f"<think>\n{trace}\n</think>\n\n{message['content'] or ''}"}


def call_message(tusks: tuple[str, ...] = TUSKS[:1], *, text: bool = False, content: str | None = "") -> Message:
    """Return an assistant message with one call for each tusk, its argument, and with content next to the calls.

    With ``text``, the arguments are a JSON string instead of an object.
    """
    arguments = [f'{{"tusk": "{tusk}"}}' if text else {"tusk": tusk} for tusk in tusks]
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": identifier, "type": "function", "function": {"name": TOOL_NAME, "arguments": given}}
            for identifier, given in zip(IDENTIFIERS, arguments, strict=False)
        ],
    }


def result_message(number: int = 0) -> Message:
    """Return the tool message that answers a call."""
    return {"role": "tool", "name": TOOL_NAME, "content": RESULTS[number], "tool_call_id": IDENTIFIERS[number]}


def _values() -> Message:
    message = call_message()
    message["tool_calls"][0]["function"]["arguments"] |= {"wild": True, "spots": ["onyx", "opal"]}
    return message


_SPOKEN = "Plan plum and pear"
_LONG = 'Answer apricot: "<b>Crème</b>" & it\'s {{one}}\n\n\ttwo \\n, ' + "three " * 300 + "END"
_LONG_ASK = _LONG.replace("Answer apricot", "Question quince").replace("END", "three " * 1500 + "END")
"""Text that a template may escape, fold or cut."""

# Conversations are written as users do, under the name that most templates read.
_THINK, _THINK_MORE = {**SAY, "reasoning_content": TRACES[0]}, {**SAY_MORE, "reasoning_content": TRACES[1]}

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "turn": {"messages": [ASK, SAY]},
    "turns": {"messages": [ASK, SAY, ASK_MORE, SAY_MORE]},
    "system": {"messages": [SYSTEM, ASK, SAY, ASK_MORE, SAY_MORE]},
    "reasoning": {"messages": [ASK, _THINK]},
    "reasoning_turns": {"messages": [ASK, _THINK, ASK_MORE, _THINK_MORE]},
    "tools": {"messages": [ASK, SAY], "tools": [TOOL, SECOND_TOOL]},
    "system_tools": {"messages": [SYSTEM, ASK, SAY], "tools": [TOOL]},
    "calls": {"messages": [ASK, call_message(), result_message(), SAY_MORE], "tools": [TOOL]},
    "spoken": {"messages": [ASK, call_message(content=_SPOKEN), result_message(), SAY_MORE], "tools": [TOOL]},
    "agent": {
        "messages": [
            ASK,
            {**call_message(content=_SPOKEN), "reasoning_content": TRACES[0]},
            result_message(),
            _THINK_MORE,
        ],
        "tools": [TOOL],
    },
    "null": {"messages": [ASK, call_message(content=None), result_message(), SAY_MORE], "tools": [TOOL]},
    "parallel": {
        "messages": [ASK, call_message(TUSKS), result_message(), result_message(1), SAY_MORE],
        "tools": [TOOL],
    },
    "values": {"messages": [ASK, _values(), result_message(), SAY_MORE], "tools": [TOOL]},
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Question quince"}, {"type": "text", "text": " second satsuma"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Answer apricot"}]},
        ]
    },
    "spaces": {"messages": [ASK, {"role": "assistant", "content": f"  {_LONG}  \n"}, ASK_MORE, SAY_MORE]},
    "marks": {"messages": [{"role": "user", "content": _LONG_ASK}, {"role": "assistant", "content": _LONG}]},
    "text_arguments": {"messages": [ASK, call_message(text=True), result_message(), SAY_MORE], "tools": [TOOL]},
    "late_system": {"messages": [ASK, SAY, SYSTEM, ASK_MORE]},
    "systems": {"messages": [SYSTEM, ASK, SAY, SYSTEM_MORE, ASK_MORE]},
    "developer": {"messages": [DEVELOPER, ASK]},
}
"""The conversations by name."""

TITLES = {
    "turn": "a question and an answer",
    "turns": "two questions and two answers",
    "system": "a system message and two turns",
    "reasoning": "an answer with reasoning",
    "reasoning_turns": "two answers with reasoning",
    "tools": "a question, an answer and a tool",
    "calls": "a tool call and its result",
    "spoken": "a tool call next to text",
    "agent": "a tool call next to text and reasoning",
    "null": "a tool call in a message whose content is null",
    "parallel": "two tool calls in one message",
    "parts": "content in a list of text parts",
    "values": "a tool call with arguments of several types",
    "spaces": "an answer with spaces around it",
    "marks": "a long question and answer with quotes and markup",
    "system_tools": "a system message and a tool",
    "text_arguments": "a tool call whose arguments are a JSON string",
    "late_system": "a system message in the middle",
    "systems": "a second system message in the middle",
    "developer": "a developer message",
}
"""The name of each conversation in messages."""


def as_parts(conversation: dict[str, Any]) -> dict[str, Any]:
    """Return the conversation with each text as a list of one text part, for templates that take nothing else."""
    messages = [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in conversation["messages"]
    ]
    return {**conversation, "messages": messages}


def with_parts(conversation: Conversation) -> Conversation:
    """Return a loaded conversation with each text as a list of one text part."""
    return Conversation.coerce(as_parts(conversation.dump()))
