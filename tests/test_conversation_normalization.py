"""The data that templates see: plain values, and no null padding."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from chattmpl.conversation.models import Conversation, Message
from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.conversation.shapes import read_record
from chattmpl.errors import ConversationError

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
DROPPED = ReadingNote(NoteKind.DROPPED_NULLS, "tools")
REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")


def _call(name: str = "ping", arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}, **rest}


def _seen(messages: list[Any], **rest: Any) -> list[dict[str, Any]]:
    """The messages as a template sees them."""
    seen: list[dict[str, Any]] = Conversation.coerce({"messages": messages, **rest}).to_template_input()["messages"]
    return seen


@dataclasses.dataclass
class Said:
    role: str
    content: str


@pytest.mark.parametrize("name", REASONING_NAMES)
def test_reasoning_is_shown_under_every_name_that_templates_read(name: str) -> None:
    seen = _seen([{"role": "assistant", name: "why", "content": "what"}])[0]
    assert seen["reasoning_content"] == seen["thinking"] == "why"
    assert Conversation.coerce([{"role": "assistant", name: "why"}]).messages[0].reasoning_content == "why"


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    ("full_name", "empty_name"), [(a, b) for a in REASONING_NAMES for b in REASONING_NAMES if a != b]
)
def test_an_empty_trace_loses_against_one_that_is_not_empty(full_name: str, empty_name: str, empty: str | None) -> None:
    seen = _seen([{"role": "assistant", empty_name: empty, full_name: "why"}])[0]
    assert {seen[name] for name in REASONING_NAMES if name in seen} == {"why"}


def test_an_empty_trace_alone_stays_empty() -> None:
    assert _seen([{"role": "assistant", "reasoning": ""}])[0]["reasoning_content"] == ""


def test_none_is_the_same_as_absent_at_the_top_level_of_a_message() -> None:
    names = ["name", "tool_calls", "tool_call_id", "thinking", "train", "weight", "foreign"]
    padded: dict[str, Any] = dict.fromkeys(names)
    assert _seen([{"role": "user", "content": "x", **padded}]) == [{"role": "user", "content": "x"}]
    assert Message.model_validate({"role": "user", "content": "x", **padded}) == Message(role="user", content="x")


def test_the_flags_for_the_mask_are_hidden_from_the_template() -> None:
    message = {"role": "assistant", "content": "x", "train": True, "weight": 1}
    assert _seen([message]) == [{"role": "assistant", "content": "x"}]


@pytest.mark.parametrize(
    ("flags", "trained"),
    [({}, None), ({"train": True}, True), ({"train": 0}, False), ({"weight": 0}, False), ({"weight": 1.0}, True)],
)
def test_the_flags_say_whether_a_message_is_trained_on(flags: dict[str, Any], trained: bool | None) -> None:
    assert Message.model_validate({"role": "assistant", **flags}).trained is trained


def test_unknown_keys_reach_the_template_in_their_place() -> None:
    message = {"citations": [1], "role": "user", "mood": {"b": None, "a": 2}, "content": "x"}
    assert json.dumps(_seen([message])[0]) == json.dumps(message)


def test_keys_of_a_tool_call_stay_in_the_order_in_which_they_were_given() -> None:
    call = {"index": 0, "function": {"arguments": {"b": 1, "a": 2}, "name": "f", "strict": True}, "id": "c"}
    assert json.dumps(_seen([{"role": "assistant", "tool_calls": [call]}])[0]["tool_calls"][0]) == json.dumps(call)


def test_arguments_given_as_a_string_are_not_touched() -> None:
    arguments = '{"a" : 1.0,\n "b":null}'
    seen = _seen([{"role": "assistant", "tool_calls": [_call(arguments=arguments)]}])
    assert seen[0]["tool_calls"][0]["function"]["arguments"] == arguments


class Colour(enum.StrEnum):
    RED = "red"


class Shout(str):
    """A string with a method of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def test_values_that_are_no_json_become_plain_or_are_named_by_their_type() -> None:
    class Image:
        pass

    given = {"colour": Colour.RED, "shout": Shout("x"), "pair": (1, Said("user", "x")), "image": Image(), "raw": b"x"}
    seen = _seen([{"role": "user", "content": Shout("hey"), "extra": given}])[0]
    assert type(seen["content"]) is str
    assert seen["content"] == "hey"
    assert seen["extra"] == {
        "colour": "red",
        "shout": "x",
        "pair": (1, {"role": "user", "content": "x"}),
        "image": "<Image>",
        "raw": "<bytes>",
    }
    assert type(seen["extra"]["colour"]) is str
    assert type(seen["extra"]["shout"]) is str


def test_numpy_scalars_become_python_ones() -> None:
    numpy = pytest.importorskip("numpy")
    arguments = {"flag": numpy.bool_(False), "n": numpy.int64(3), "x": numpy.float64(0.5), "array": numpy.zeros(2)}
    seen = _seen([{"role": "assistant", "tool_calls": [_call(arguments=arguments)]}])
    plain = seen[0]["tool_calls"][0]["function"]["arguments"]
    assert plain == {"flag": False, "n": 3, "x": 0.5, "array": "<ndarray>"}
    assert [type(value) for value in plain.values()] == [bool, int, float, str]


def test_arguments_that_contain_themselves_are_refused() -> None:
    arguments: dict[str, Any] = {}
    arguments["self"] = arguments
    conversation = Conversation.coerce([{"role": "assistant", "tool_calls": [_call(arguments=arguments)]}])
    with pytest.raises(ConversationError, match="contains itself"):
        conversation.to_template_input()


def test_tools_documents_and_kwargs_are_handed_on() -> None:
    conversation = Conversation(
        messages=[], tools=[{"name": "f"}], documents=[{"text": "d"}], chat_template_kwargs={"enable_thinking": False}
    )
    assert conversation.to_template_input() == {
        "messages": [],
        "tools": [{"name": "f"}],
        "documents": [{"text": "d"}],
        "kwargs": {"enable_thinking": False},
    }


# Properties

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
CALLS = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": TEXTS}, optional={"arguments": st.dictionaries(TEXTS, JSON) | TEXTS})},
    optional={"id": TEXTS, "type": st.just("function"), "index": st.integers()},
)
PARTS = st.fixed_dictionaries(
    {"type": st.just("text"), "text": TEXTS}, optional={"cache": JSON}
) | st.fixed_dictionaries({"type": st.just("image")}, optional={"url": TEXTS})


@st.composite
def _messages(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
            optional={
                "content": st.none() | TEXTS | st.lists(PARTS, max_size=2),
                "tool_calls": st.none() | st.lists(CALLS, max_size=2),
                "tool_call_id": st.none() | TEXTS,
                "name": TEXTS,
                "weight": st.sampled_from([0, 1, 1.0]),
                "mood": JSON,
            },
        )
    )
    if draw(st.booleans()):
        fields[draw(st.sampled_from(REASONING_NAMES))] = draw(st.none() | TEXTS)
    return {key: fields[key] for key in draw(st.permutations(list(fields)))}


CONVERSATIONS = st.fixed_dictionaries(
    {"messages": st.lists(_messages(), max_size=3)},
    optional={
        "tools": st.lists(st.fixed_dictionaries({"name": TEXTS, "parameters": JSON, "description": TEXTS}), max_size=2),
        "documents": st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2),
        "chat_template_kwargs": st.dictionaries(TEXTS, JSON, max_size=2),
        "template": TEXTS,
        "source_of_the_row": JSON,
    },
)


@hypothesis.given(CONVERSATIONS)
def test_what_is_dumped_is_loaded_as_what_it_was(given: dict[str, Any]) -> None:
    conversation = Conversation.coerce(given)
    dumped = json.loads(json.dumps(conversation.dump()))
    again = Conversation.coerce(dumped)
    assert again == conversation
    assert again.to_template_input() == conversation.to_template_input()
    assert json.dumps(again.dump()) == json.dumps(conversation.dump())


@hypothesis.given(CONVERSATIONS)
def test_a_dump_has_everything_that_was_given(given: dict[str, Any]) -> None:
    dumped = Conversation.coerce(given, clean_nulls="never").dump()
    for message, shown in zip(given["messages"], dumped["messages"], strict=True):
        assert list(shown) == list(message)
        for key in message.keys() - {"content", "tool_calls"}:
            assert shown[key] == message[key]
    for key in given.keys() - {"messages", "tools"}:
        assert dumped[key] == given[key]


@pytest.mark.upstream
@hypothesis.settings(max_examples=300)
@hypothesis.given(CONVERSATIONS)
def test_a_template_sees_what_transformers_would_show_it(given: dict[str, Any]) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    bare = [
        {key: value for key, value in message.items() if value is not None and key != "weight"}
        for message in given["messages"]
    ]
    parts_cleaned = [
        {
            **message,
            **(
                {"content": [{k: v for k, v in part.items() if v is not None} for part in message["content"]]}
                if isinstance(message.get("content"), list)
                else {}
            ),
        }
        for message in bare
    ]
    expected = utils._alias_reasoning_fields(utils._plain_template_data(parts_cleaned))
    seen = Conversation.coerce(given, clean_nulls="never").to_template_input()["messages"]
    assert json.dumps(seen) == json.dumps(expected)


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
    ],
)
def test_a_null_default_goes_where_the_schema_is_seen_to_be_padded(cleaning: Any, x: dict[str, Any]) -> None:
    conversation = Conversation.coerce({"messages": [], "tools": PADDED_TOOLS}, clean_nulls=cleaning)
    assert conversation.tools == [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": x}}}},
    ]


def test_tools_and_messages_in_a_string_of_json_keep_their_nulls() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": None}}}
    asked = {"role": "user", "content": "a", "tool_calls": None}
    messages = [asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert Conversation.coerce({"messages": messages, "tools": PADDED_TOOLS}, clean_nulls="never").tools == PADDED_TOOLS
    stored = {"messages": json.dumps(messages), "tools": json.dumps(PADDED_TOOLS)}
    for reading, dropped in ((read_record(stored), False), (read_record({"messages": messages}), True)):
        seen = Conversation.coerce(reading.value).to_template_input()
        assert seen["messages"][1]["tool_calls"][0]["function"]["arguments"] == ({} if dropped else {"x": None})
        assert dropped == any(note.kind is NoteKind.DROPPED_NULLS for note in reading.notes)
        assert seen["tools"] == (None if dropped else PADDED_TOOLS)
    assert DROPPED in read_record({"messages": CHAT, "tools": PADDED_TOOLS}).notes
    assert DROPPED not in read_record({"messages": CHAT, "tools": json.dumps(PADDED_TOOLS)}).notes
    padded = read_record({**stored, "messages": messages}).value
    assert Conversation.coerce(padded).tools == PADDED_TOOLS, "the messages are padded, and the tools are not"


@pytest.mark.train
def test_the_padding_of_arrow_is_dropped_as_trl_drops_it() -> None:
    utils = pytest.importorskip("trl.trainer.utils")
    arrow = pytest.importorskip("pyarrow")
    calls = [{"type": "function", "function": {"name": name, "arguments": {name: 1}}} for name in "ab"]
    answers = [{"role": "assistant", "content": "", "tool_calls": [call]} for call in calls]
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"properties": {name: {}}}}} for name in "ab"
    ]
    rows = [
        {"messages": [{"role": "user", "content": "x"}, answer], "tools": [tool]}
        for answer, tool in zip(answers, tools, strict=True)
    ]
    for padded, row in zip(arrow.Table.from_pylist(rows).to_pylist(), rows, strict=True):
        seen = Conversation.coerce(read_record(padded).value).to_template_input()
        theirs = Conversation.coerce(utils.remove_none_values(padded), clean_nulls="never").to_template_input()
        assert seen["messages"] == theirs["messages"] == Conversation.coerce(row).to_template_input()["messages"]
        assert seen["tools"] == theirs["tools"]


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


_KEYWORDS = st.sampled_from(["type", "default", "const", "enum", "examples", "properties", "items"])
_SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.dictionaries(_KEYWORDS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=12,
)


@hypothesis.given(_SCHEMAS, st.booleans())
def test_a_note_says_that_nulls_of_tools_were_dropped_that_could_be_intended(schema: Any, padded: bool) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": schema}}}}]
    messages = [{**message, "tool_calls": None} for message in CHAT] if padded else CHAT
    reading = read_record({"messages": messages, "tools": tools})
    seen = Conversation.coerce(reading.value).tools
    assert (DROPPED in reading.notes) == (_intended_nulls(seen) < _intended_nulls(tools))


def _intended_nulls(value: Any, *, inside: bool = False, names: bool = False) -> int:
    """Count the nulls of dicts that are the values of a default, a constant or an example, or inside them."""
    if isinstance(value, list):
        return sum(_intended_nulls(item, inside=inside) for item in value)
    if not isinstance(value, dict):
        return 0
    count = 0
    for key, item in value.items():
        within = inside or (not names and key in ("default", "const", "examples"))
        if item is None:
            count += inside or (not names and key in ("default", "const"))
        elif names or key != "enum" or inside:
            count += _intended_nulls(item, inside=within, names=key == "properties" and not names and not within)
    return count
