"""Null padding, as Arrow and Parquet leave it: what is cleaned, and what is kept since it may be meant."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl.conversation.models import Conversation


def _call(name: str = "ping", arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}, **rest}


def test_nulls_are_cleaned_from_tools_at_any_depth_but_not_where_a_null_is_a_value() -> None:
    parameters = {
        "type": "object",
        "properties": {
            "unit": {
                "type": ["string", "null"],
                "enum": ["c", None],
                "default": None,
                "const": None,
                "items": {"a": 1},
            },
        },
    }
    tool = {
        "type": "function",
        "strict": None,
        "function": {"name": "f", "description": None, "parameters": parameters},
    }
    cleaned = Conversation.coerce({"messages": [], "tools": [tool]}).tools
    assert cleaned == [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


PADDED_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "properties": {"default": None, "x": {"type": "string", "enum": None, "default": None}, "y": None},
                "required": None,
            },
        },
    }
]


@pytest.mark.parametrize(
    ("cleaning", "x"),
    [
        ("auto", {"type": "string"}),
        ("always", {"type": "string"}),
        ("never", {"type": "string", "default": None}),
    ],
)
def test_a_null_default_goes_where_the_schema_is_seen_to_be_padded(cleaning: Any, x: dict[str, Any]) -> None:
    conversation = Conversation.coerce({"messages": [], "tools": PADDED_TOOLS}, clean_nulls=cleaning)
    assert conversation.tools == [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": x}}}},
    ]


def test_nulls_are_cleaned_from_content_parts_tool_calls_and_documents() -> None:
    parts = [{"type": "image", "text": None, "image": "a.png"}, {"type": "text", "text": "x", "image": None}]
    call = {"id": None, "type": "function", "index": None, "function": {"name": "f", "strict": None, "arguments": None}}
    conversation = Conversation.coerce(
        {
            "messages": [{"role": "user", "content": parts}, {"role": "assistant", "tool_calls": [call]}],
            "documents": [{"title": None, "text": "d"}],
        }
    )
    seen = conversation.to_template_input()
    assert seen["messages"][0]["content"] == [{"type": "image", "image": "a.png"}, {"type": "text", "text": "x"}]
    assert seen["messages"][1]["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": None}}]
    assert seen["documents"] == [{"text": "d"}]


HAND_WRITTEN: list[dict[str, Any]] = [
    {"role": "user", "content": "x"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [_call(arguments={"a": 1, "b": None, "c": {"d": None}, "e": [None]})],
    },
]
FROM_ARROW: list[dict[str, Any]] = [{"tool_calls": None, **message} for message in HAND_WRITTEN]


@pytest.mark.parametrize(
    ("messages", "cleaning", "cleaned"),
    [
        (HAND_WRITTEN, "auto", False),
        (HAND_WRITTEN, "always", True),
        (FROM_ARROW, "auto", True),
        (FROM_ARROW, "never", False),
    ],
)
def test_a_null_argument_goes_where_the_conversation_is_seen_to_be_padded(
    messages: Any, cleaning: Any, cleaned: bool
) -> None:
    calls = Conversation.coerce(messages, clean_nulls=cleaning).messages[1].tool_calls
    assert calls is not None
    kept = {"a": 1, "b": None, "c": {"d": None}, "e": [None]}
    assert calls[0].function.arguments == ({"a": 1, "c": {}, "e": [None]} if cleaned else kept)


def test_a_conversation_that_went_through_arrow_is_what_it_was() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    rows = [
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [_call("f", {"city": "Oslo"}), _call("g", {})]},
                {"role": "tool", "tool_call_id": "call_1", "content": "4"},
            ],
            "tools": [
                {"name": "f", "parameters": {"properties": {"city": {"type": "string", "default": "Oslo"}}}},
                {"name": "g", "description": "G.", "parameters": {"properties": {"city": {"type": "string"}}}},
            ],
        },
        {"messages": [{"role": "assistant", "content": "y", "reasoning": "r", "tool_calls": [_call("h", {"n": 1})]}]},
    ]
    padded = pyarrow.Table.from_pylist(rows).to_pylist()
    assert padded[0] != rows[0]
    assert Conversation.coerce(padded[0]).messages == Conversation.coerce(rows[0]).messages
    assert Conversation.coerce(padded[0], clean_nulls="always") == Conversation.coerce(rows[0])
