"""Conversations: what is accepted, what is refused and with which words."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections import UserDict
from typing import Any, ClassVar

import pydantic
import pytest

from chattmpl.conversation.models import Conversation, FieldError, Function, Message
from chattmpl.errors import ConversationError
from support.snapshots import error_of


def _call(name: str = "ping", arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}, **rest}


def _seen(messages: list[Any], **rest: Any) -> list[dict[str, Any]]:
    """The messages as a template sees them."""
    seen: list[dict[str, Any]] = Conversation.coerce({"messages": messages, **rest}).to_template_input()["messages"]
    return seen


def _error(value: Any) -> FieldError:
    error = error_of(lambda: Conversation.coerce(value))
    assert isinstance(error, FieldError)
    return error


# What is accepted


def test_a_list_of_messages_is_a_conversation() -> None:
    conversation = Conversation.coerce([{"role": "user", "content": "Hi"}])
    assert conversation.messages == [Message(role="user", content="Hi")]
    assert conversation.tools is None
    assert conversation.documents is None


def test_a_conversation_is_coerced_to_itself() -> None:
    conversation = Conversation(messages=[])
    assert Conversation.coerce(conversation) is conversation


def test_a_conversation_may_have_no_messages_so_that_the_prompt_before_the_first_can_be_rendered() -> None:
    assert Conversation.coerce([]).to_template_input()["messages"] == []


@dataclasses.dataclass
class Said:
    role: str
    content: str


class Typed(pydantic.BaseModel):
    role: str
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


@pytest.mark.parametrize(
    "message",
    [
        Message(role="user", content="Hi"),
        Said("user", "Hi"),
        Typed(role="user", content="Hi"),
        UserDict({"role": "user", "content": "Hi"}),
    ],
    ids=["Message", "dataclass", "pydantic", "mapping"],
)
def test_a_message_may_be_any_object_that_has_keys(message: Any) -> None:
    assert _seen([message]) == [{"role": "user", "content": "Hi"}]


def test_a_conversation_may_be_any_object_that_holds_messages() -> None:
    class Chat:
        messages: ClassVar = [{"role": "user", "content": "Hi"}]

    assert Conversation.coerce(Chat()).messages == [Message(role="user", content="Hi")]
    assert Conversation.coerce(UserDict(messages=Chat.messages)).messages == [Message(role="user", content="Hi")]


def test_messages_may_be_an_array_as_rows_read_through_pandas_have_them() -> None:
    class Array:
        def tolist(self) -> list[Any]:
            return [{"role": "user", "content": "Hi"}]

    assert _seen(Array()) == [{"role": "user", "content": "Hi"}]  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_the_five_roles_are_accepted(role: str) -> None:
    assert _seen([{"role": role, "content": "x"}])[0]["role"] == role


def test_a_tool_call_without_a_function_around_it_is_read_and_shown_as_it_was_given() -> None:
    call = {"name": "ping", "arguments": {"n": 1}, "id": "c"}
    conversation = Conversation.coerce([{"role": "assistant", "tool_calls": [call]}])
    assert conversation.messages[0].tool_calls is not None
    assert conversation.messages[0].tool_calls[0].function == Function(name="ping", arguments={"n": 1})
    shown = conversation.to_template_input()["messages"][0]["tool_calls"][0]
    assert list(shown.items()) == list(call.items())


def test_tools_may_be_a_string_of_json() -> None:
    tools = [{"type": "function", "function": {"name": "ping"}}]
    assert Conversation.coerce({"messages": [], "tools": json.dumps(tools)}).tools == tools


def test_the_callers_data_is_never_changed() -> None:
    given = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "image": None}], "tool_calls": None},
            {"role": "assistant", "thinking": "t", "tool_calls": [_call(arguments={"a": None, "b": [{}]})]},
        ],
        "tools": [{"type": "function", "function": {"name": "ping", "parameters": {"properties": {"x": None}}}}],
        "documents": [{"title": None, "text": "d"}],
    }
    before = copy.deepcopy(given)
    seen = Conversation.coerce(given, clean_nulls="always").to_template_input()
    seen["messages"][1]["tool_calls"][0]["function"]["arguments"]["b"].append(1)
    seen["tools"][0]["function"]["name"] = "pong"
    assert given == before


def test_what_a_template_sees_is_new_each_time() -> None:
    conversation = Conversation.coerce({"messages": [], "tools": [{"name": "ping", "parameters": {"a": [1]}}]})
    conversation.to_template_input()["tools"][0]["parameters"]["a"].append(2)
    assert conversation.to_template_input()["tools"] == [{"name": "ping", "parameters": {"a": [1]}}]


# What is refused


@pytest.mark.parametrize(
    ("message", "path", "meant"),
    [
        ({"role": "user", "contents": "x"}, "contents", "content"),
        ({"role": "user", "contnet": "x"}, "contnet", "content"),
        ({"role": "user", "Content": "x"}, "Content", "content"),
        ({"role": "assistant", "tool_call": [_call()]}, "tool_call", "tool_calls"),
        ({"role": "assistant", "toolCalls": [_call()]}, "toolCalls", "tool_calls"),
        ({"role": "assistant", "content": "x", "reasonning_content": "r"}, "reasonning_content", "reasoning_content"),
        ({"role": "assistant", "content": "x", "weights": 1}, "weights", "weight"),
        ({"rol": "user", "content": "x"}, "rol", "role"),
    ],
)
def test_a_misspelt_key_of_a_message_gets_a_suggestion(message: dict[str, Any], path: str, meant: str) -> None:
    error = _error([message])
    assert error.path == ("messages", 0, path)
    assert error.on_key
    assert error.hint == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("value", "path", "meant"),
    [
        ({"mesages": []}, ("mesages",), "messages"),
        ({"messages": [], "tool": []}, ("tool",), "tools"),
        ({"messages": [], "tools": [{"fuction": {"name": "f"}}]}, ("tools", 0, "fuction"), "function"),
        (
            [{"role": "assistant", "tool_calls": [{"type": "function", "fucntion": {"name": "f"}}]}],
            ("messages", 0, "tool_calls", 0, "fucntion"),
            "function",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "argumens": {}}}]}],
            ("messages", 0, "tool_calls", 0, "function", "argumens"),
            "arguments",
        ),
        ([{"role": "user", "content": [{"type": "txt"}]}], ("messages", 0, "content", 0, "type"), "text"),
    ],
)
def test_other_misspellings_get_a_suggestion_too(value: Any, path: tuple[str | int, ...], meant: str) -> None:
    error = _error(value)
    assert error.path == path
    assert error.hint == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("role", "hint"),
    [
        ("asistant", "did you mean 'assistant'?"),
        ("User", "did you mean 'user'?"),
        ("human", "did you mean 'user'?"),
        ("gpt", "did you mean 'assistant'?"),
        ("narrator", "the roles are system, developer, user, assistant, tool"),
    ],
)
def test_an_unknown_role_gets_a_hint(role: str, hint: str) -> None:
    error = _error([{"role": "user", "content": "x"}, {"role": role, "content": "x"}])
    assert str(error) == f"messages[1].role: unknown role {role!r}\nhint: {hint}"


def test_the_error_is_the_same_when_a_model_is_made_directly() -> None:
    with pytest.raises(ConversationError, match="did you mean 'assistant'"):
        Message(role="asistant")
    with pytest.raises(ConversationError, match="unknown key 'contents'"):
        Conversation(messages=[{"role": "user", "contents": "x"}])


@pytest.mark.parametrize(
    "extra",
    [
        {"content": "x", "context": "near a known key that is there"},
        {"content": "x", "contents": "a key beside its right spelling"},
        {"content": None, "tool_plan": "Command's own key"},
        {"content": "x", "reasoning_details": []},
        {"content": "x", "tool_call": None},
    ],
)
def test_a_key_that_is_no_misspelling_is_left_alone(extra: dict[str, Any]) -> None:
    seen = _seen([{"role": "assistant", **extra}])[0]
    assert seen == {"role": "assistant", **{key: value for key, value in extra.items() if value is not None}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"content": "x"}], "messages[0]: 'role' is missing"),
        ([{"role": "user", "content": 5}], "messages[0].content: must be a string, a list of parts or null, not 5"),
        (
            [{"role": "user", "content": b"x"}],
            "messages[0].content: must be a string, a list of parts or null, not bytes",
        ),
        (
            [{"role": "user", "content": ["x"]}],
            "messages[0].content[0]: must be a content part (a dict with 'type'), not 'x'",
        ),
        (["x"], "messages[0]: must be a message (a dict with 'role' and 'content'), not 'x'"),
        ([None], "messages[0]: must be a message (a dict with 'role' and 'content'), not null"),
        ({"tools": []}, "messages: must be a list of messages, not null"),
        ({"messages": {}}, "messages: must be a list of messages, not a dict"),
        ({"messages": [], "documents": ["x"]}, "documents[0]: must be a dict with 'title' and 'text', not 'x'"),
        ({"messages": [], "chat_template_kwargs": []}, "chat_template_kwargs: must be a dict, not a list"),
        ({"messages": [], "tools": {}}, "tools: must be a list of JSON schemas, not dict"),
        ({"messages": [], "tools": "[{"}, "tools: is a string but not JSON"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}],
            "messages[0].tool_calls[0].function.arguments: must be a dict, a string of JSON or null, not 5",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {1: 2}}}]}],
            "messages[0].tool_calls[0].function.arguments: has a key that is not a string: 1",
        ),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0]: 'function' is missing"),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "messages[0].content[0]: a text part needs a string 'text'",
        ),
        ([{"role": "assistant", "weight": -1}], "messages[0].weight: must be a finite number, 0 or more, not -1"),
        (
            [{"role": "assistant", "weight": float("nan")}],
            "messages[0].weight: must be a finite number, 0 or more, not nan",
        ),
        ([{"role": "assistant", "train": "perhaps"}], "messages[0].train: must be true or false, not 'perhaps'"),
        ([{"role": "assistant", "thinking": ["x"]}], "messages[0].thinking: must be a string or null, not list"),
    ],
)
def test_a_wrong_type_is_named_with_its_path(value: Any, message: str) -> None:
    assert str(_error(value)).startswith(message)


@pytest.mark.parametrize("value", [5, "conv.json", None, Conversation])
def test_what_is_no_conversation_at_all_is_refused(value: Any) -> None:
    with pytest.raises(ConversationError, match="a conversation must be a dict with 'messages' or a list of messages"):
        Conversation.coerce(value)


def test_a_tool_that_is_a_function_is_refused_with_a_way_out() -> None:
    def ping() -> None:
        """Ping."""

    error = _error({"messages": [], "tools": [ping]})
    assert error.path == ("tools", 0)
    assert error.hint is not None
    assert "JSON schema" in error.hint


def test_two_different_reasoning_traces_are_an_error_not_a_pick() -> None:
    error = _error([{"role": "assistant", "content": "x", "thinking": "a", "reasoning": "b"}])
    assert error.path == ("messages", 0, "reasoning")
    assert error.problem == "differs from 'thinking' in the same message"


def test_flags_that_contradict_each_other_are_an_error() -> None:
    assert _error([{"role": "assistant", "train": False, "weight": 1.0}]).path == ("messages", 0)


def test_data_that_contains_itself_is_refused() -> None:
    schema: dict[str, Any] = {"name": "f"}
    schema["parameters"] = {"properties": {"x": schema}}
    with pytest.raises(ConversationError, match="contains itself"):
        Conversation.coerce({"messages": [], "tools": [schema]})


# Arguments


# Models


def test_models_are_frozen_and_copied_with_changes() -> None:
    message = Message.model_validate({"mood": "calm", "content": "x", "role": "assistant", "thinking": "t"})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        message.content = "y"  # type: ignore[misc]
    changed = message.model_copy(update={"content": None, "name": "n", "reasoning_content": "u"})
    assert list(changed.dump().items()) == [
        ("mood", "calm"),
        ("content", None),
        ("role", "assistant"),
        ("thinking", "u"),
        ("name", "n"),
    ]
    assert message.dump()["content"] == "x"


def test_a_conversation_is_copied_with_other_messages() -> None:
    conversation = Conversation.coerce({"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "f"}]})
    shorter = conversation.with_messages(conversation.messages[:0])
    assert (shorter.messages, shorter.tools) == ([], [{"name": "f"}])
    assert len(conversation.messages) == 1


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_copies_and_pickles_keep_the_order_of_keys(through: Any) -> None:
    message = Message.model_validate({"content": "x", "mood": "calm", "role": "user"})
    assert through(message) == message
    assert list(through(message).to_template_input()) == ["content", "mood", "role"]


def test_pydantics_own_dump_has_no_private_keys() -> None:
    message = Message.model_validate({"content": "x", "role": "user"})
    assert message.model_dump(exclude_unset=True) == {"role": "user", "content": "x"}
    assert json.loads(message.model_dump_json(exclude_none=True)) == {"role": "user", "content": "x"}


def test_equality_ignores_the_order_of_keys_and_the_spelling_of_reasoning() -> None:
    a = Message.model_validate({"role": "assistant", "reasoning": "r", "content": "x"})
    b = Message.model_validate({"content": "x", "thinking": "r", "role": "assistant", "name": None})
    assert a == b
    assert a != Message.model_validate({"content": "x", "role": "assistant"})
    assert a != Message.model_validate({"role": "assistant", "reasoning": "r", "content": "x", "mood": "calm"})


def test_the_representation_shows_what_was_said_and_no_more() -> None:
    assert repr(Message(role="user", content="x")) == "Message(role='user', content='x')"
