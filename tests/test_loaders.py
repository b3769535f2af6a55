"""Files of conversations, and errors that point at the character that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from chattmpl.conversation.files import load_conversation, load_conversations, parse_text
from chattmpl.conversation.json_text import JsonText
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.shapes import SHAPES, detect_shape, parse_record
from chattmpl.errors import ConversationError
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
    assert shapes == set(SHAPES)


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
    assert list(parse_text(text)) == [Conversation.coerce(MESSAGES)]
    assert list(parse_text(f"{text}\n{text}\n", lines=True)) == [Conversation.coerce(MESSAGES)] * 2
    with pytest.raises(ConversationError, match="<stdin>:1:1: not JSON"):
        list(parse_text("{", name="<stdin>"))


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
    assert "Conversation.coerce" in _error_text(tmp_path, "PAR1", "train.parquet")


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
        ('{"messages": [', (1, 14), "the text ends too early; in a .jsonl file each value must be on one line"),
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
    assert "nested too deeply" in _error_text(tmp_path, "[" * 100_000)


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
