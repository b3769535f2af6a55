"""Conversation files and records: their shapes, their conversion, and the positions of errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from chattmpl.conversation.detection import detect_shape
from chattmpl.conversation.files import load_conversation, load_conversations, records_of_text
from chattmpl.conversation.json_text import JsonText
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.shapes import parse_record
from chattmpl.conversation.validation_errors import FieldError
from chattmpl.errors import ConversationError, UsageError
from chattmpl.options import OPTIONS
from support import ROOT
from support.snapshots import error_of

FIXTURES = sorted((ROOT / "fixtures").glob("*.json"))
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def _file_error(folder: Path, content: str | bytes, name: str = "conv.json") -> ConversationError:
    """The error of loading a file, with the file's folder cut from its text."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    error = error_of(lambda: list(load_conversations(path)))
    assert isinstance(error, ConversationError)
    return error


def _error_text(folder: Path, content: str | bytes, name: str = "conv.json") -> str:
    return str(_file_error(folder, content, name)).replace(f"{folder}/", "")


# Fixtures


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_fixture_loads_and_dumps_without_loss(path: Path) -> None:
    conversation = load_conversation(path)
    again = parse_record(json.loads(json.dumps(conversation.dump())))
    assert again == conversation
    given = json.loads(path.read_text(encoding="utf-8"))
    if detect_shape(given) == "messages":
        assert conversation.dump() == given


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_fixture_has_something_to_train_on(path: Path) -> None:
    assert load_conversation(path).messages[-1].role == "assistant"


def test_there_is_a_fixture_for_every_shape() -> None:
    shapes = {detect_shape(json.loads(path.read_text(encoding="utf-8"))) for path in FIXTURES}
    assert shapes == set(OPTIONS["shape"].choices)


# Files


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("one.json", json.dumps({"messages": MESSAGES}, indent=1), 1),
        ("list.json", json.dumps(MESSAGES), 1),
        ("turns.json", json.dumps([{"from": "human", "value": "Hi"}]), 1),
        ("many.json", json.dumps([{"messages": MESSAGES}, {"prompt": "a", "completion": "b"}, MESSAGES]), 3),
        ("lists.json", json.dumps([MESSAGES, MESSAGES]), 2),
        ("lines.jsonl", f"{json.dumps(MESSAGES)}\r\n\n{json.dumps({'messages': MESSAGES})}", 2),
        ("lines.ndjson", json.dumps(MESSAGES) + "\n", 1),
        ("no_suffix", json.dumps(MESSAGES), 1),
    ],
)
def test_a_file_holds_one_conversation_or_many(tmp_path: Path, name: str, content: str, count: int) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    loaded = list(load_conversations(path))
    assert len(loaded) == count
    assert list(load_conversations(str(path))) == loaded


def test_lines_are_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "conv.jsonl"
    path.write_text(json.dumps(MESSAGES) + "\n{", encoding="utf-8")
    conversations = load_conversations(path)
    assert next(conversations) == Conversation.coerce(MESSAGES)
    with pytest.raises(ConversationError, match=r"conv\.jsonl:2:"):
        next(conversations)


def test_one_conversation_is_loaded_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "conv.jsonl"
    path.write_text(f"{json.dumps(MESSAGES)}\n", encoding="utf-8")
    assert load_conversation(path) == Conversation.coerce(MESSAGES)
    path.write_text(f"{json.dumps(MESSAGES)}\n" * 2, encoding="utf-8")
    with pytest.raises(ConversationError, match="more than one conversation"):
        load_conversation(path)


def test_a_text_is_parsed_like_a_file() -> None:
    text = json.dumps(MESSAGES)
    assert [record()[0] for record in records_of_text(text)] == [Conversation.coerce(MESSAGES)]
    lines = records_of_text(f"{text}\n{text}\n", lines=True)
    assert [record()[0] for record in lines] == [Conversation.coerce(MESSAGES)] * 2
    with pytest.raises(ConversationError, match="<stdin>:1:1: not JSON"):
        list(records_of_text("{", name="<stdin>"))


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0c"])
def test_only_a_newline_ends_a_line(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "conv.jsonl"
    path.write_text(json.dumps([{"role": "user", "content": f"a{separator}b"}], ensure_ascii=False), encoding="utf-8")
    assert load_conversation(path).messages[0].content == f"a{separator}b"


@pytest.mark.parametrize("name", ["conv.json", "conv.jsonl"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(MESSAGES).encode())
    assert load_conversation(path) == Conversation.coerce(MESSAGES)


@pytest.mark.parametrize("name", ["conv.json", "conv.jsonl"])
@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str, content: str) -> None:
    assert _error_text(tmp_path, content, name) == f"{name} is empty"


def test_a_file_that_is_not_there_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "conversation.json").touch()
    with pytest.raises(ConversationError, match=r"(?s)no such file.*did you mean 'conversation\.json'"):
        next(load_conversations(tmp_path / "conversaton.json"))
    with pytest.raises(ConversationError, match="no such file"):
        next(load_conversations(tmp_path / "nowhere" / "conv.jsonl"))


def test_a_parquet_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    assert "chattmpl render" in _error_text(tmp_path, "PAR1", "train.parquet")


# Places

MISSPELT_ROLE = """\
{
  "messages": [
    {"role": "user", "content": "Hi"},
    {"role": "asistant", "content": "Hello"}
  ]
}
"""

MISSPELT_KEY = MISSPELT_ROLE.replace("asistant", "assistant").replace('"content": "Hello"', '"contents": "Hello"')


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "conv.json",
            MISSPELT_ROLE,
            """\
conv.json:4:14: messages[1].role: unknown role 'asistant'
   4 |     {"role": "asistant", "content": "Hello"}
     |              ^^^^^^^^^^
hint: did you mean 'assistant'?""",
        ),
        (
            "conv.json",
            MISSPELT_KEY,
            """\
conv.json:4:27: messages[1].contents: unknown key 'contents'
   4 |     {"role": "assistant", "contents": "Hello"}
     |                           ^^^^^^^^^^
hint: did you mean 'content'?""",
        ),
        (
            "conv.json",
            '[\n  {"content": "Hi"}\n]',
            """\
conv.json:2:3: [0]: 'role' is missing
   2 |   {"content": "Hi"}
     |   ^^^^^^^^^^^^^^^^^
hint: the keys found are 'content'""",
        ),
        (
            "conv.jsonl",
            '{"messages": [{"role": "user", "content": "é"}]}\n{"messages": [{"role": "user", "content": 5}]}\n',
            """\
conv.jsonl:2:43: messages[0].content: must be a string, a list of parts or null, not 5
   2 | {"messages": [{"role": "user", "content": 5}]}
     |                                           ^""",
        ),
        (
            "conv.json",
            '[{"messages": [{"role": "user"}]},\n {"prompt": "Hi", "completion": 7}]',
            """\
conv.json:2:33: [1].completion: must be a string or a list of messages, not int
   2 |  {"prompt": "Hi", "completion": 7}]
     |                                 ^""",
        ),
        (
            "conv.json",
            '{"conversations": [\n  {"from": "human", "value": 5}\n]}',
            """\
conv.json:2:3: conversations[0].content: must be a string, a list of parts or null, not 5
   2 |   {"from": "human", "value": 5}
     |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^""",
        ),
        (
            "conv.json",
            '{"messages": []}',
            """\
conv.json:1:14: messages: contains no messages
   1 | {"messages": []}
     |              ^^""",
        ),
        (
            "conv.json",
            '{"question": "?"}',
            """\
conv.json:1:1: the keys ('question') fit no shape
   1 | {"question": "?"}
     | ^^^^^^^^^^^^^^^^^
hint: the shapes are messages (messages); sharegpt (conversations); alpaca (instruction, output); \
prompt-completion (prompt, completion)""",
        ),
        (
            "conv.json",
            '{"messages": [{"role": "user", "content": "a",\n  "content": "b"}]}',
            """\
conv.json:2:3: duplicate key 'content' in one object
   2 |   "content": "b"}]}
     |   ^^^^^^^^^
hint: remove or rename one of them""",
        ),
        (
            "conv.json",
            '[{"role": "assistant", "weight": NaN}]',
            """\
conv.json:1:34: NaN is not a JSON number
   1 | [{"role": "assistant", "weight": NaN}]
     |                                  ^^^
hint: use null, or a string""",
        ),
        (
            "conv.json",
            '[{"role": "assistant", "weight": -1e999}]',
            """\
conv.json:1:34: -1e999 is not a JSON number
   1 | [{"role": "assistant", "weight": -1e999}]
     |                                  ^^^^^^
hint: use null, or a string""",
        ),
        (
            "conv.json",
            '[{"role": "user", "content": "cut \\ud83d"}]',
            """\
conv.json:1:30: half of a surrogate pair, which is not a character
   1 | [{"role": "user", "content": "cut \\ud83d"}]
     |                              ^^^^^^^^^^^^
hint: the text was probably cut in the middle of an emoji""",
        ),
        (
            "conv.jsonl",
            b'[{"role": "user", "content": "x"}]\n[{"role": "user", "content": "\xc3\xa9t\xe9"}]\n',
            """\
conv.jsonl:2:33: byte 0xe9 is not UTF-8
   2 | [{"role": "user", "content": "ét\ufffd"}]
     |                                 ^
hint: save the file as UTF-8""",
        ),
        ("conv.json", '[{"role": "user"}]'.encode("utf-16"), "conv.json is UTF-16\nhint: save it as UTF-8"),
    ],
    ids=[
        "role",
        "key",
        "missing",
        "type",
        "in a list",
        "of another shape",
        "no message",
        "no shape",
        "duplicate key",
        "NaN",
        "infinity",
        "surrogate",
        "encoding",
        "UTF-16",
    ],
)
def test_an_error_says_what_is_wrong_and_where(tmp_path: Path, name: str, content: str | bytes, text: str) -> None:
    assert _error_text(tmp_path, content, name) == text


@pytest.mark.parametrize(
    ("content", "position", "hint"),
    [
        ("[1,\n 2,]", (2, 4), "remove the comma before the closing bracket"),
        ("{'messages': []}", (1, 2), "this looks like Python; JSON uses double quotes, null, true and false"),
        ('{"messages": None}', (1, 14), "this looks like Python; JSON uses double quotes, null, true and false"),
        ("[ // first\n]", (1, 3), "JSON has no comments"),
        ("[]\n[]", (2, 1), "name a file with one JSON value per line .jsonl"),
        (
            '{"messages": [',
            (1, 14),
            "the text ends too early; a .jsonl file has one value on each line, a .json file one over several lines",
        ),
    ],
)
def test_what_is_not_json_is_shown_with_a_hint(
    tmp_path: Path, content: str, position: tuple[int, int], hint: str
) -> None:
    error = _file_error(tmp_path, content)
    assert error.message.startswith("not JSON: ")
    assert error.place is not None
    assert abs(error.place.column - position[1]) <= 1  # Python's parser changed its mind on where a comma is wrong
    assert (error.place.line, error.hint) == (position[0], hint)


def test_json_that_is_nested_without_end_is_an_error(tmp_path: Path) -> None:
    assert "nested more than 254 levels deep" in _error_text(tmp_path, "[" * 100_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@hypothesis.given(JSON, st.sampled_from([None, 2]), st.booleans())
def test_every_value_of_a_json_text_is_found_where_it_stands(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = JsonText(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
    hypothesis.assume("\\ud" not in text.text)
    entries = {entry.path: entry for entry in text.entries()}

    def check(inner: Any, path: tuple[str | int, ...]) -> int:
        entry = entries[path]
        assert json.loads(text.text[slice(*entry.value)]) == inner
        if path and isinstance(path[-1], str):
            assert entry.key is not None
            assert json.loads(text.text[slice(*entry.key)]) == path[-1]
        items = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        return 1 + sum(check(item, (*path, step)) for step, item in items)

    assert check(value, ()) == len(entries)
    assert text.value() == value


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
    assert str(_record_error({"riddle": "?", "key": "!"})) == (
        "the keys ('riddle', 'key') fit no shape\n"
        "hint: the shapes are messages (messages); sharegpt (conversations); alpaca (instruction, output); "
        "prompt-completion (prompt, completion)"
    )


def test_a_misspelt_key_of_a_record_gets_a_suggestion() -> None:
    error = _record_error({"convrsations": []})
    assert (error.path, error.on_key, error.hint) == (("convrsations",), True, "did you mean 'conversations'?")


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
    ids=OPTIONS["shape"].choices,
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
        ([{"from": "human", "words": "x"}], (0,), "'value' is missing"),
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
