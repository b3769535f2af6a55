"""The shapes of records: how they are told apart, and what each says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.shapes import SHAPES, detect_shape, parse_record
from chattmpl.conversation.validation_errors import FieldError
from chattmpl.errors import UsageError
from support.snapshots import error_of

MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def _shown(record: Any, **options: Any) -> list[dict[str, Any]]:
    return parse_record(record, **options).dump()["messages"]  # type: ignore[no-any-return]


def _record_error(record: Any, **options: Any) -> FieldError:
    error = error_of(lambda: parse_record(record, **options))
    assert isinstance(error, FieldError)
    return error


@pytest.mark.parametrize(
    ("record", "shape"),
    [
        ({"messages": MESSAGES}, "messages"),
        (MESSAGES, "messages"),
        ([], "messages"),
        ({"messages": MESSAGES, "prompt": "a column that means nothing"}, "messages"),
        ({"conversations": [{"from": "human", "value": "Hi"}]}, "sharegpt"),
        ([{"from": "human", "value": "Hi"}], "sharegpt"),
        ({"instruction": "Say hi", "input": "", "output": "Hi"}, "alpaca"),
        ({"prompt": "Hi", "completion": "Hello"}, "prompt-completion"),
        ({"messages": None, "prompt": "Hi", "completion": "Hello"}, "prompt-completion"),
    ],
)
def test_a_shape_is_found_from_the_keys(record: Any, shape: str) -> None:
    assert detect_shape(record) == shape


def test_a_record_of_two_shapes_is_refused_until_one_is_named() -> None:
    record = {"messages": MESSAGES, "prompt": "Hi", "completion": "Hey"}
    assert str(_record_error(record)) == (
        "the keys ('messages', 'prompt', 'completion') fit more than one shape: messages and prompt-completion\n"
        "hint: choose one, for example shape='messages'"
    )
    assert _shown(record, shape="messages") == MESSAGES
    assert _shown(record, shape="prompt-completion")[1]["content"] == "Hey"


def test_a_record_of_no_shape_is_told_what_it_has_and_what_there_is() -> None:
    assert str(_record_error({"question": "?", "answer": "!"})) == (
        "the keys ('question', 'answer') fit no shape\n"
        "hint: the shapes are messages (messages); sharegpt (conversations); alpaca (instruction, output); "
        "prompt-completion (prompt, completion)"
    )


def test_a_misspelt_key_of_a_record_gets_a_suggestion() -> None:
    error = _record_error({"conversation": []})
    assert (error.path, error.on_key, error.hint) == (("conversation",), True, "did you mean 'conversations'?")


@pytest.mark.parametrize("record", [5, "Hi", None])
def test_what_is_neither_an_object_nor_a_list_is_refused(record: Any) -> None:
    assert "a conversation is a JSON object or a list of messages" in str(_record_error(record))
    assert "a conversation is a JSON object or a list of messages" in str(_record_error(record, shape="messages"))


def test_a_shape_that_does_not_exist_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'sharegpt'"):
        parse_record({}, shape="shargpt")  # type: ignore[arg-type]


def test_a_named_shape_needs_its_keys() -> None:
    error = _record_error({"instruction": "Say hi", "input": ""}, shape="alpaca")
    assert (
        str(error)
        == "a record of shape 'alpaca' needs the key 'output'\nhint: the keys found are 'instruction', 'input'"
    )
    assert "must be an object, not a list" in str(_record_error(MESSAGES, shape="alpaca"))


@pytest.mark.parametrize("record", [[], {"messages": []}, {"conversations": []}, {"prompt": [], "completion": []}])
def test_a_record_without_messages_is_refused(record: Any) -> None:
    assert "contains no messages" in str(_record_error(record))


@pytest.mark.parametrize(
    "record",
    [
        {"messages": MESSAGES},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "output": "Hello"},
        {"prompt": "Hi", "completion": "Hello"},
    ],
    ids=SHAPES,
)
def test_all_shapes_can_say_the_same_and_keep_what_else_is_in_the_record(record: dict[str, Any]) -> None:
    rest = {
        "tools": [{"name": "f"}],
        "documents": [{"text": "d"}],
        "chat_template_kwargs": {"date": "today"},
        "template": "qwen3",
        "id": 7,
    }
    assert parse_record({**record, **rest}) == Conversation.coerce({"messages": MESSAGES, **rest})


@pytest.mark.parametrize(
    ("sender", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("gpt", "assistant"),
        ("Assistant", "assistant"),
        ("chatgpt", "assistant"),
        ("system", "system"),
        ("observation", "tool"),
        ("function-response", "tool"),
        ("tool", "tool"),
    ],
)
def test_sharegpt_senders_become_roles(sender: str, role: str) -> None:
    assert _shown([{"from": sender, "value": "x"}]) == [{"role": role, "content": "x"}]


@pytest.mark.parametrize("value", ['{"name": "f", "arguments": {"a": 1}}', {"name": "f", "arguments": {"a": 1}}])
def test_a_sharegpt_function_call_becomes_a_tool_call(value: Any) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert _shown([{"from": "function_call", "value": value}]) == [
        {"role": "assistant", "content": "", "tool_calls": [call]}
    ]


def test_several_calls_in_one_sharegpt_turn_are_all_read() -> None:
    value = '[{"name": "f", "arguments": "{}"}, {"name": "g", "arguments": {}}]'
    calls = _shown([{"from": "function_call", "value": value}])[0]["tool_calls"]
    assert [call["function"] for call in calls] == json.loads(value)


def test_a_sharegpt_record_may_have_a_system_text_and_tools_as_a_string() -> None:
    turns = [{"from": "human", "value": "Hi", "weight": 0}]
    conversation = parse_record({"conversations": turns, "system": "Be brief.", "tools": '[{"name": "f"}]'})
    assert conversation.tools == [{"name": "f"}]
    assert conversation.dump()["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi", "weight": 0.0},
    ]
    assert parse_record({"conversations": turns, "system": "", "tools": ""}).tools == []


def test_sharegpt_turns_may_already_be_messages() -> None:
    assert _shown({"conversations": MESSAGES}) == MESSAGES


@pytest.mark.parametrize(
    ("turns", "path", "text"),
    [
        ([{"from": "humna", "value": "x"}], (0, "from"), "did you mean 'human'?"),
        ([{"from": "human", "valu": "x"}], (0, "valu"), "did you mean 'value'?"),
        ([{"from": "human", "content": "x"}], (0,), "'value' is missing"),
        ([{"from": 1, "value": "x"}], (0, "from"), "must be a string, not int"),
        ([{"from": "human", "value": 5}], (0,), "must be a string, a list of parts or null, not 5"),
        ([{"from": "function_call", "value": "f()"}], (0, "value"), "is not JSON"),
        ([{"from": "function_call", "value": "[1]"}], (0, "value"), "needs the JSON of {'name', 'arguments'}"),
        ([{"from": "human", "value": "x"}, "x"], (1,), "must be a turn"),
    ],
)
def test_a_wrong_sharegpt_turn_is_named_where_it_stands(turns: list[Any], path: Any, text: str) -> None:
    error = _record_error({"conversations": turns})
    assert error.path[: len(path) + 1] == ("conversations", *path)
    assert text in str(error)
    assert _record_error(turns).path == error.path[1:]


def test_two_system_prompts_are_not_merged_by_guess() -> None:
    record = {"system": "a", "conversations": [{"from": "system", "value": "b"}, {"from": "human", "value": "x"}]}
    assert _record_error(record).path == ("system",)


def test_alpaca_has_its_input_on_a_new_line_and_its_history_first() -> None:
    record = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Count.", "history": [["0 0", "0"]]}
    assert _shown(record) == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "0 0"},
        {"role": "assistant", "content": "0"},
        {"role": "user", "content": "Add.\n1 2"},
        {"role": "assistant", "content": "3"},
    ]


@pytest.mark.parametrize("nothing", ["", None])
def test_alpaca_without_input_is_the_instruction_alone(nothing: Any) -> None:
    assert _shown({"instruction": "Sing.", "input": nothing, "output": ""})[0]["content"] == "Sing."


@pytest.mark.parametrize(
    ("change", "path"),
    [({"input": 3}, ("input",)), ({"history": [["a"]]}, ("history", 0)), ({"history": [["a", 1]]}, ("history", 0))],
)
def test_a_wrong_alpaca_field_is_named(change: dict[str, Any], path: Any) -> None:
    assert _record_error({"instruction": "x", "output": "y", **change}).path == path


def test_only_the_completion_is_trained_on() -> None:
    answered = {"role": "assistant", "content": "7"}
    record = {
        "prompt": [answered, {**answered, "weight": 1.0}, {"role": "user", "content": "?"}],
        "completion": [answered],
    }
    assert [message.trained for message in parse_record(record).messages] == [False, True, None, None]


def test_a_prompt_of_messages_may_have_a_completion_of_text() -> None:
    assert _shown({"prompt": MESSAGES[:1], "completion": "Hello"}) == MESSAGES


def test_a_wrong_completion_is_named_where_it_stands() -> None:
    assert _record_error({"prompt": "x", "completion": 5}).path == ("completion",)
    wrong = {"prompt": "x", "completion": [{"role": "assistant", "contents": "y"}]}
    assert _record_error(wrong).path == ("completion", 0, "contents")


def test_nulls_are_cleaned_as_the_caller_says() -> None:
    call = {"function": {"name": "f", "arguments": {"a": None}}}
    record = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    kept = parse_record(record).messages[0].tool_calls
    dropped = parse_record(record, clean_nulls="always").messages[0].tool_calls
    assert kept is not None
    assert dropped is not None
    assert (kept[0].function.arguments, dropped[0].function.arguments) == ({"a": None}, {})
