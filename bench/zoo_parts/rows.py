"""Conversations of the zoo, and the shapes of data in which they are handed over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Conversation = Mapping[str, Any]

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_CALL = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich"}}}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


CONVERSATIONS: dict[str, Conversation] = {
    "plain": {"messages": [_user("Name the capital of France."), _assistant("It is Paris.")]},
    "system": {
        "messages": [{"role": "system", "content": "Be brief."}, _user("What is 2 + 2?"), _assistant("4")],
    },
    "turns": {
        "messages": [
            *(_user("Say a word in Greek."), _assistant("λόγος")),
            *(_user("And one in Japanese?"), _assistant("日本語 😀\n\n  - with an indented line\n")),
        ]
    },
    "reasoning": {
        "messages": [_user("Is 7 prime?"), _assistant("Yes.", reasoning_content="7 has no divisors but 1 and 7.")]
    },
    "tools": {"messages": [_user("Say hello."), _assistant("Hello.")], "tools": [TOOL]},
    "call": {
        "messages": [
            _user("Is it cold in Zürich?"),
            _assistant("", tool_calls=[_CALL]),
            {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": '{"celsius": 3}'},
            _assistant("Yes, 3 degrees."),
        ],
        "tools": [TOOL],
    },
}
"""The conversations, by name. Each kind of template feature that depends on the model directory occurs in one."""


@dataclass(frozen=True)
class Shape:
    """A shape of data.

    Attributes:
        name: its name.
        suffix: the suffix of its files.
        records: conversations as the objects that the entry points in Python are given.
        write: writes these objects to a file.
    """

    name: str
    suffix: str
    records: Callable[[Sequence[Conversation]], list[Any]]
    write: Callable[[Sequence[Any], Path], None]


def _write_lines(records: Sequence[Any], path: Path) -> None:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")


SHAPES = {
    "messages": Shape("messages", ".jsonl", lambda conversations: [dict(each) for each in conversations], _write_lines)
}
"""The shapes by name: a shape added here is tried with every model directory and entry point."""
