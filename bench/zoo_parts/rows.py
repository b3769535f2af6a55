"""Conversations of the zoo, and the shapes of data in which they are handed over."""

from __future__ import annotations

import csv
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
        suffix: the suffix of its file; empty for a folder.
        record: a conversation as the entry points in Python are given it; None if the shape cannot hold it.
        write: writes these objects to a file or folder.
    """

    name: str
    suffix: str
    record: Callable[[Conversation], Any]
    write: Callable[[Sequence[Any], Path], None]

    def held(self) -> dict[str, Any]:
        """Return the conversations that the shape can hold in it, by name."""
        records = {name: self.record(each) for name, each in CONVERSATIONS.items()}
        return {name: record for name, record in records.items() if record is not None}


def _lines(records: Sequence[Any], path: Path) -> None:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")


def _list(records: Sequence[Any], path: Path) -> None:
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")


def _csv(records: Sequence[Any], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def _dataset(records: Sequence[Any]) -> Any:
    import datasets

    datasets.disable_progress_bars()
    # The columns of a dataset are those of its first row.
    columns = dict.fromkeys(name for record in records for name in record)
    return datasets.Dataset.from_list([{name: record.get(name) for name in columns} for record in records])


def _parquet(records: Sequence[Any], path: Path) -> None:
    _dataset(records).to_parquet(path)


def _saved(records: Sequence[Any], path: Path) -> None:
    _dataset(records).save_to_disk(path)


def _turned(names: Mapping[str, str], column: str) -> Callable[[Conversation], Any]:
    """Return the function that renames the keys of turns, and the column that they are in."""

    def record(conversation: Conversation) -> Any:
        turns = [{names.get(key, key): value for key, value in each.items()} for each in conversation["messages"]]
        return {column: turns, **{key: value for key, value in conversation.items() if key != "messages"}}

    return record


def _sharegpt(conversation: Conversation) -> Any:
    """Return turns with senders, as ShareGPT has them, of texts alone."""
    senders = {"user": "human", "assistant": "gpt", "system": "system"}
    if not _is_text(conversation):
        return None
    return {
        "conversations": [
            {"from": senders[each["role"]], "value": each["content"]} for each in conversation["messages"]
        ]
    }


def _is_text(conversation: Conversation) -> bool:
    """Return true if roles and texts are all that a conversation has."""
    return set(conversation) == {"messages"} and all(
        set(each) == {"role", "content"} for each in conversation["messages"]
    )


def _columns(conversation: Conversation) -> Any:
    """Return the system prompt and the tools in columns of their own; the tools as JSON."""
    messages = list(conversation["messages"])
    record: dict[str, Any] = {}
    if messages[0]["role"] == "system":
        record["system_prompt"] = messages.pop(0)["content"]
    if "tools" in conversation:
        record["functions"] = json.dumps(conversation["tools"], ensure_ascii=False)
    return {**record, "messages": messages}


def _text(conversation: Conversation) -> Any:
    """Return the whole conversation as a string of JSON in one column."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in conversation.items()}


def _kwargs(conversation: Conversation) -> Any:
    """Return the tools among the template kwargs."""
    messages, tools = conversation["messages"], conversation.get("tools")
    return {"messages": messages, **({"chat_template_kwargs": {"tools": tools}} if tools else {})}


def _legacy_calls(conversation: Conversation) -> Any:
    """Return calls as the first API had them: one, without an id, and arguments in JSON; None if there is no call."""
    if not any("tool_calls" in each for each in conversation["messages"]):
        return None
    messages = []
    for each in conversation["messages"]:
        message = {key: value for key, value in each.items() if key not in ("tool_calls", "tool_call_id")}
        for call in each.get("tool_calls", ()):
            message["function_call"] = call["function"]
        messages.append({**message, "role": "function"} if each["role"] == "tool" else message)
    return {**conversation, "messages": messages}


def _unread(conversation: Conversation) -> Any:
    """Return the conversation with columns that are not read: a text, and a mask of another tokenizer."""
    return {**conversation, "persona": "You are a lighthouse keeper.", "labels": [-100, -100, 5, 6], "id": "a1"}


def _pair(conversation: Conversation) -> Any:
    """Return a prompt and a completion, both lists of messages."""
    *prompt, completion = conversation["messages"]
    rest = {key: value for key, value in conversation.items() if key != "messages"}
    return {**rest, "prompt": prompt, "completion": [completion]}


def _instruction(conversation: Conversation) -> Any:
    """Return one question and its answer as the fields of Alpaca."""
    messages = conversation["messages"]
    if not _is_text(conversation) or [each["role"] for each in messages] != ["user", "assistant"]:
        return None
    return {"instruction": messages[0]["content"], "input": "", "output": messages[1]["content"]}


SHAPES = {
    each.name: each
    for each in (
        Shape("messages", ".jsonl", dict, _lines),
        Shape("list", ".json", dict, _list),
        Shape("role and value", ".jsonl", _turned({"content": "value"}, "conversations"), _lines),
        Shape("role and text", ".jsonl", _turned({"content": "text"}, "conversation"), _lines),
        Shape("from and content", ".jsonl", _turned({"role": "from"}, "messages"), _lines),
        Shape("sharegpt", ".jsonl", _sharegpt, _lines),
        Shape("columns", ".jsonl", _columns, _lines),
        Shape("json strings", ".jsonl", _text, _lines),
        Shape("kwargs", ".jsonl", _kwargs, _lines),
        Shape("unread columns", ".jsonl", _unread, _lines),
        Shape("legacy calls", ".jsonl", _legacy_calls, _lines),
        Shape("prompt and completion", ".jsonl", _pair, _lines),
        Shape("instruction", ".csv", _instruction, _csv),
        Shape("parquet", ".parquet", dict, _parquet),
        Shape("saved dataset", "", dict, _saved),
    )
}
"""The shapes by name: a shape added here is tried with every model directory and entry point."""
