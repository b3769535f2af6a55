"""The conversations that templates are probed with: small, and each word in them occurs once."""

from __future__ import annotations

from typing import Any

TOOL = {
    "type": "function",
    "function": {
        "name": "find_walrus",
        "description": "Finds a walrus by its tusk.",
        "parameters": {
            "type": "object",
            "properties": {"tusk": {"type": "string", "description": "Which tusk."}},
            "required": ["tusk"],
        },
    },
}

_MORE = {
    "type": "function",
    "function": {
        "name": "count_seals",
        "description": "Counts seals.",
        "parameters": {
            "type": "object",
            "properties": {"beach": {"type": "string", "description": "Which beach."}},
            "required": ["beach"],
        },
    },
}

_ASK = {"role": "user", "content": "Question quince"}
_SAY = {"role": "assistant", "content": "Answer apricot"}
_ASK_MORE = {"role": "user", "content": "Follow fig"}
_SAY_MORE = {"role": "assistant", "content": "Again almond"}
_SYSTEM = {"role": "system", "content": "Behave like a badger"}
_SYSTEM_MORE = {"role": "system", "content": "Listen like a lynx"}
_THINK = {"role": "assistant", "content": "Answer apricot", "reasoning_content": "Ponder papaya"}
_THINK_MORE = {"role": "assistant", "content": "Again almond", "reasoning_content": "Muse mango"}
_RESULT = {"role": "tool", "name": "find_walrus", "content": "Result raspberry", "tool_call_id": "walruscall"}


def _call(identifier: str, tusk: str) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": "find_walrus", "arguments": {"tusk": tusk}}}


def _calls(*tusks: str, content: str | None = "") -> dict[str, Any]:
    calls = [_call("walruscall" if number == 0 else "walrusmore", tusk) for number, tusk in enumerate(tusks)]
    return {"role": "assistant", "content": content, "tool_calls": calls}


_TEXT_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "walruscall",
            "type": "function",
            "function": {"name": "find_walrus", "arguments": '{"tusk": "lefttusk"}'},
        }
    ],
}

_LONG = 'Answer apricot: "<b>Crème</b>" & it\'s {{one}}\n\n\ttwo \\n, ' + "three " * 300 + "END"
_LONG_ASK = _LONG.replace("Answer apricot", "Question quince").replace("END", "three " * 1500 + "END")
"""What a template may be tempted to escape, to fold or to cut."""

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "turn": {"messages": [_ASK, _SAY]},
    "turns": {"messages": [_ASK, _SAY, _ASK_MORE, _SAY_MORE]},
    "system": {"messages": [_SYSTEM, _ASK, _SAY, _ASK_MORE, _SAY_MORE]},
    "reasoning": {"messages": [_ASK, _THINK]},
    "reasoning_turns": {"messages": [_ASK, _THINK, _ASK_MORE, _THINK_MORE]},
    "tools": {"messages": [_ASK, _SAY], "tools": [TOOL, _MORE]},
    "system_tools": {"messages": [_SYSTEM, _ASK, _SAY], "tools": [TOOL]},
    "calls": {"messages": [_ASK, _calls("lefttusk"), _RESULT, _SAY_MORE], "tools": [TOOL]},
    "spoken": {
        "messages": [_ASK, _calls("lefttusk", content="Plan plum and pear"), _RESULT, _SAY_MORE],
        "tools": [TOOL],
    },
    "agent": {
        "messages": [
            _ASK,
            {**_calls("lefttusk", content="Plan plum and pear"), "reasoning_content": "Ponder papaya"},
            _RESULT,
            _THINK_MORE,
        ],
        "tools": [TOOL],
    },
    "null": {"messages": [_ASK, _calls("lefttusk", content=None), _RESULT, _SAY_MORE], "tools": [TOOL]},
    "parallel": {
        "messages": [
            _ASK,
            _calls("lefttusk", "righttusk"),
            _RESULT,
            {**_RESULT, "content": "Result rhubarb", "tool_call_id": "walrusmore"},
            _SAY_MORE,
        ],
        "tools": [TOOL],
    },
    "values": {
        "messages": [
            _ASK,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "walruscall",
                        "type": "function",
                        "function": {
                            "name": "find_walrus",
                            "arguments": {"tusk": "lefttusk", "wild": True, "spots": ["onyx", "opal"]},
                        },
                    }
                ],
            },
            _RESULT,
            _SAY_MORE,
        ],
        "tools": [TOOL],
    },
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Question quince"}, {"type": "text", "text": " second satsuma"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Answer apricot"}]},
        ]
    },
    "spaces": {"messages": [_ASK, {"role": "assistant", "content": f"  {_LONG}  \n"}, _ASK_MORE, _SAY_MORE]},
    "marks": {"messages": [{"role": "user", "content": _LONG_ASK}, {"role": "assistant", "content": _LONG}]},
    "text_arguments": {"messages": [_ASK, _TEXT_CALL, _RESULT, _SAY_MORE], "tools": [TOOL]},
    "late_system": {"messages": [_ASK, _SAY, _SYSTEM, _ASK_MORE, _SAY_MORE]},
    "systems": {"messages": [_SYSTEM, _ASK, _SAY, _SYSTEM_MORE, _ASK_MORE, _SAY_MORE]},
}
"""By the name that rules and messages call them by."""

TITLES = {
    "turn": "a question and an answer",
    "turns": "two questions and two answers",
    "system": "a system message and two turns",
    "reasoning": "an answer with reasoning",
    "reasoning_turns": "two answers with reasoning",
    "tools": "a question, an answer and a tool",
    "calls": "a tool call and its result",
    "spoken": "a tool call beside text",
    "agent": "a tool call beside text and reasoning",
    "null": "a tool call in a message whose content is null",
    "parallel": "two tool calls in one message",
    "parts": "content in a list of text parts",
    "values": "a tool call with arguments of several types",
    "spaces": "an answer with spaces around it",
    "marks": "a long question and answer with quotes and markup",
    "system_tools": "a system message and a tool",
    "text_arguments": "a tool call whose arguments are a string of JSON",
    "late_system": "a system message in the middle",
    "systems": "a second system message in the middle",
}


def as_parts(conversation: dict[str, Any]) -> dict[str, Any]:
    """The conversation with every text as a list of one text part, for templates that know nothing else."""
    messages = [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in conversation["messages"]
    ]
    return {**conversation, "messages": messages}
