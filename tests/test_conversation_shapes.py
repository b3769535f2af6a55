"""Reading of rows as the field has them: every spelling is read, refused with what to write, or noted."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.conversation.shapes import parse_record, read_record
from chattmpl.conversation.spellings import is_content
from chattmpl.conversation.turns import TurnReader, is_simple
from chattmpl.conversation.validation_errors import FieldError

ASK = {"role": "user", "content": "Tide?"}
SAY = {"role": "assistant", "content": "2.4 m"}
CHAT = [ASK, SAY]
TOOL = {"name": "tide", "description": "Tide", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "tide", "arguments": '{"hour": 12}'}
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]}


def seen(record: Any, **options: Any) -> dict[str, Any]:
    """Return what a template sees of a record, without what is absent."""
    value = read_record(record, **options).value
    shown = Conversation.coerce(value).to_template_input()
    return {key: item for key, item in shown.items() if item}


def flags(record: Any) -> list[bool | None]:
    """Return the flag of each message of a record."""
    return [message.trained for message in Conversation.coerce(read_record(record).value).messages]


def noted(record: Any, kind: NoteKind) -> set[str]:
    """Return what the notes of one kind on a record are about."""
    return {note.name for note in read_record(record).notes if note.kind is kind}


def same(record: Any, wanted: Any) -> None:
    """Check that two records are the same to a template, by every way of reading them."""
    assert seen(record) == seen(wanted)
    assert parse_record(record).to_template_input() == parse_record(wanted).to_template_input()


# Columns


@pytest.mark.parametrize("name", ["system", "system_prompt", "system_message", "System Prompt", "sys", "systemPrompt"])
@pytest.mark.parametrize(
    "shape",
    [
        {"messages": CHAT},
        {"conversations": [{"from": "human", "value": "Tide?"}, {"from": "gpt", "value": "2.4 m"}]},
        {"instruction": "Tide?", "output": "2.4 m"},
        {"prompt": "Tide?", "completion": "2.4 m"},
        {"question": "Tide?", "answer": "2.4 m"},
    ],
    ids=lambda shape: "+".join(shape),
)
def test_a_system_prompt_is_read_in_every_shape(name: str, shape: dict[str, Any]) -> None:
    same({name: "Be brief.", **shape}, {"messages": [{"role": "system", "content": "Be brief."}, *CHAT]})
    same({name: "", **shape}, {"messages": CHAT})


def test_a_system_prompt_may_repeat_the_system_message_but_not_differ_from_it() -> None:
    whole = [{"role": "system", "content": "Be brief."}, *CHAT]
    same({"system_prompt": "Be brief.", "messages": whole}, {"messages": whole})
    with pytest.raises(FieldError, match="also starts with a system turn"):
        read_record({"system_prompt": "Be long.", "messages": whole})
    with pytest.raises(FieldError, match="differs from 'system'"):
        read_record({"system": "a", "system_prompt": "b", "messages": CHAT})


@pytest.mark.parametrize("name", ["tools", "tool_defs", "tool_definitions", "available_tools", "Tools"])
@pytest.mark.parametrize(
    "stored",
    [
        lambda tool: [tool],
        lambda tool: json.dumps([tool]),
        lambda tool: [json.dumps(tool)],
        lambda tool: [{**tool, "parameters": json.dumps(tool["parameters"])}],
        lambda tool: [{**tool, "parameters": {**tool["parameters"], "properties": "{}"}}],
    ],
    ids=["list", "JSON", "JSON of each", "JSON parameters", "JSON properties"],
)
def test_tools_are_read_by_every_name_and_from_json(name: str, stored: Any) -> None:
    same({name: stored(TOOL), "messages": CHAT}, {"tools": [TOOL], "messages": CHAT})


@pytest.mark.parametrize("stored", [[TOOL], json.dumps([TOOL])])
def test_functions_become_tools(stored: Any) -> None:
    wanted = {"tools": [{"type": "function", "function": TOOL}], "messages": CHAT}
    same({"functions": stored, "messages": CHAT}, wanted)
    same({"functions": stored, "prompt": "Tide?", "completion": "2.4 m"}, wanted)


def test_tools_in_the_template_kwargs_are_tools() -> None:
    record = {"messages": CHAT, "chat_template_kwargs": {"tools": [TOOL], "enable_thinking": False}}
    same(record, {"messages": CHAT, "tools": [TOOL], "chat_template_kwargs": {"enable_thinking": False}})
    same({**record, "tools": [TOOL]}, {**record, "tools": None})
    with pytest.raises(FieldError, match="differs"):
        read_record({**record, "tools": [{**TOOL, "name": "wind"}]})
    same({"messages": CHAT, "chat_template_kwargs": json.dumps({"tools": [TOOL]})}, {"messages": CHAT, "tools": [TOOL]})


@pytest.mark.parametrize(
    "messages", [json.dumps(CHAT), [json.dumps(message) for message in CHAT]], ids=["whole", "each message"]
)
def test_messages_may_be_json(messages: Any) -> None:
    same({"messages": messages}, {"messages": CHAT})
    same({"conversations": messages}, {"messages": CHAT})
    same(
        {"messages": [ASK, {**CALLING, "tool_calls": json.dumps(CALLING["tool_calls"])}]}, {"messages": [ASK, CALLING]}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("persona", "A grumpy cook."),
        ("persona", "pirate"),
        ("knowledge", "x" * 200),
        ("facts", [{"tide": "high"}]),
        ("rejected", "2.5 m"),
        ("response_format", {"type": "json_schema"}),
        ("prompt", "not the question"),
    ],
)
def test_a_column_with_content_that_is_not_read_is_noted(name: str, value: Any) -> None:
    assert noted({"messages": CHAT, name: value}, NoteKind.UNREAD_COLUMN) == {name}
    assert name not in read_record({"messages": CHAT, name: value}).value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "a1b2 c3"),
        ("source", "Open Platypus"),
        ("score", 0.93),
        ("num_tokens", 512),
        ("url", "https://example.org/a b"),
        ("category", "Closed QA"),
        ("reasoning", "on"),
        ("metadata", {"expected": "a long text about it"}),
        ("tags", ["a", "b"]),
        ("ratings", [1, 2]),
        ("prompt", "Tide?"),
    ],
)
def test_metadata_is_counted_but_no_reason_for_a_warning(name: str, value: Any) -> None:
    assert noted({"messages": CHAT, name: value}, NoteKind.UNREAD_COLUMN) == set()
    assert noted({"messages": CHAT, name: value}, NoteKind.METADATA) == {name}


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"instruction": "Tide?", "context": "At noon", "response": "2.4 m", "category": "qa"}, "Tide?\nAt noon"),
        ({"Question": "Tide?", "Answer": "2.4 m"}, "Tide?"),
        ({"query": "Tide?", "response": "2.4 m", "original_question": "Tide?"}, "Tide?"),
        ({"input": [ASK], "output": "2.4 m", "system_prompt": ""}, "Tide?"),
        ({"prompt": json.dumps([ASK]), "completion": "2.4 m"}, "Tide?"),
        ({"conversation": CHAT, "model": "x"}, "Tide?"),
        ({"dialogue": [{"speaker": "human", "text": "Tide?"}, {"speaker": "ai", "text": "2.4 m"}]}, "Tide?"),
    ],
)
def test_rows_of_well_known_sets_are_read(record: dict[str, Any], wanted: str) -> None:
    assert seen(record)["messages"][0] == {"role": "user", "content": wanted}
    assert seen(record)["messages"][-1] == {"role": "assistant", "content": "2.4 m"}


def test_answers_that_are_calls_become_tool_calls() -> None:
    record = {"query": "Tide?", "tools": json.dumps([TOOL]), "answers": json.dumps([CALL])}
    same(record, {"messages": [ASK, {**CALLING, "content": ""}], "tools": [TOOL]})


def test_columns_that_could_each_be_the_answer_are_refused() -> None:
    with pytest.raises(FieldError, match="'solution' and 'answer' could each be the completion"):
        read_record({"problem": "Tide?", "solution": "It is 2.4 m.", "answer": "2.4"})


PREFERENCES = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("prompt_chosen", "prompt_rejected"),
    ("chosenMessages", "rejectedMessages"),
    ("preferred_output", "non_preferred_output"),
    ("answer-accepted", "answer-rejected"),
    ("preferred", "dispreferred"),
    ("better answer", "worse answer"),
)


@pytest.mark.parametrize("columns", [("chosen_score", "rejected_score"), ("non_preferred", "x")])
def test_scores_of_answers_are_no_preference_pair(columns: tuple[str, str]) -> None:
    assert read_record({"messages": CHAT, **dict.fromkeys(columns, 0.5)}).value == {"messages": CHAT}


@pytest.mark.parametrize("pair", PREFERENCES, ids="+".join)
@pytest.mark.parametrize("others", [{"prompt": "Tide?"}, {"messages": CHAT}, {}])
def test_preference_data_are_refused_with_a_way_to_train_on_them(pair: tuple[str, str], others: dict[str, Any]) -> None:
    record = {**others, pair[0]: [SAY], pair[1]: [SAY]}
    with pytest.raises(FieldError, match="preference pair") as raised:
        read_record(record)
    assert f"rename {pair[0]!r}" in str(raised.value.hint)
    if "messages" in others:
        assert noted_with_shape(record) >= set(pair)


def noted_with_shape(record: Any) -> set[str]:
    return {note.name for note in read_record(record, "messages").notes if note.kind is NoteKind.UNREAD_COLUMN}


@pytest.mark.parametrize("label", [False, "False", 0])
def test_an_unwanted_answer_of_unpaired_preferences_is_not_trained(label: Any) -> None:
    record = {"prompt": "Tide?", "completion": "2.4 m", "label": label}
    assert flags(record) == [None, False]
    assert noted(record, NoteKind.NOT_TRAINED) == {"label"}
    assert flags({**record, "label": True}) == [None, None]
    assert flags({"messages": CHAT, "label": False}) == [None, False]


# Turns


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "value": "Tide?"}, {"role": "assistant", "value": "2.4 m"}],
        [{"role": "user", "text": "Tide?"}, {"role": "assistant", "text": "2.4 m"}],
        [{"from": "human", "content": "Tide?"}, {"from": "gpt", "content": "2.4 m"}],
        [{"role": "human", "value": "Tide?"}, {"role": "gpt", "value": "2.4 m"}],
        [{"content": None, "role": "user", "value": "Tide?"}, {"content": None, "role": "assistant", "value": "2.4 m"}],
        [{"role": "USER", "message": "Tide?"}, {"role": "Assistant", "message": "2.4 m"}],
    ],
)
@pytest.mark.parametrize("column", ["messages", "conversations", None])
def test_turns_are_read_in_every_spelling(turns: list[Any], column: str | None) -> None:
    same(turns if column is None else {column: turns}, {"messages": CHAT})


def test_a_turn_without_content_is_refused_with_the_key_that_was_meant() -> None:
    with pytest.raises(FieldError, match="'content' is missing") as raised:
        read_record({"messages": [{"role": "user", "parts": [{"text": "Tide?"}]}, SAY]})
    assert raised.value.hint == "did you mean 'content' instead of 'parts'?"
    assert noted({"messages": [{**ASK, "translation": "Quelle marée ?"}, SAY]}, NoteKind.UNREAD_KEY) == {"translation"}


@pytest.mark.parametrize("arguments", ['{"hour": 12}', {"hour": 12}])
@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_legacy_function_calls_become_tool_calls_and_results(arguments: Any, column: str) -> None:
    call = {"name": "tide", "arguments": arguments}
    legacy = [ASK, {"role": "assistant", "content": None, "function_call": call}]
    legacy.append({"role": "function", "name": "tide", "content": "2.4"})
    modern = [ASK, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": call}]}]
    modern.append({"role": "tool", "name": "tide", "content": "2.4"})
    same({column: legacy}, {"messages": modern})
    same({column: [ASK, {**SAY, "function_call": None}]}, {"messages": CHAT})
    same({column: [ASK, {**SAY, "function_call": {"name": None, "arguments": None}}]}, {"messages": CHAT})


def test_a_legacy_call_that_differs_from_the_tool_calls_is_refused() -> None:
    both = {**CALLING, "function_call": CALL}
    same({"messages": [ASK, both]}, {"messages": [ASK, CALLING]})
    with pytest.raises(FieldError, match="differs from 'tool_calls'"):
        read_record({"messages": [ASK, {**both, "function_call": {**CALL, "name": "wind"}}]})


def test_roles_of_calls_and_results_are_read_with_content_too() -> None:
    turns = [ASK, {"role": "tool_call", "content": json.dumps(CALL)}, {"role": "tool_response", "content": "2.4"}]
    same({"messages": turns}, {"messages": [ASK, {**CALLING, "content": ""}, {"role": "tool", "content": "2.4"}]})


def test_text_arguments_are_noted_and_decoded_if_asked() -> None:
    record = {"messages": [ASK, CALLING]}
    assert noted(record, NoteKind.TEXT_ARGUMENTS) == {"arguments"}
    assert read_record(record).value is record
    decoded = seen(record, arguments="decode")["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert decoded == {"hour": 12}
    broken = {**CALLING, "tool_calls": [{"function": {"name": "tide", "arguments": "{hour"}}]}
    with pytest.raises(FieldError, match="cannot be decoded"):
        read_record({"messages": [ASK, broken]}, arguments="decode")


@pytest.mark.parametrize("content", [{"t": 3}, [1, 2], [{"t": 3}], 2.4, True, {"type": "text"}])
def test_a_tool_result_may_be_any_value(content: Any) -> None:
    messages = [ASK, CALLING, {"role": "tool", "content": content}]
    assert seen({"messages": messages})["messages"][2]["content"] == content
    assert noted({"messages": messages}, NoteKind.OBJECT_RESULT) == {"content"}
    if not isinstance(content, list):
        with pytest.raises(FieldError, match="must be a string, a list of parts or null"):
            Conversation.coerce([{"role": "user", "content": content}])


def test_images_are_noted() -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "Tide?"}]
    record = {"messages": [{"role": "user", "content": parts}, SAY], "images": ["a.png"]}
    assert noted(record, NoteKind.MEDIA) == {"image", "images"}
    assert noted(record, NoteKind.TEXT_PARTS) == {"content"}
    assert noted({"messages": [{"role": "user", "content": "<image>Tide?"}, SAY], "image": "a.png"}, NoteKind.MEDIA)


# Flags

TALK = [ASK, {"role": "assistant", "content": "bad"}, ASK, SAY]


@pytest.mark.parametrize(
    ("flag", "off", "on"),
    [
        *((name, False, True) for name in ("train", "trainable", "training", "loss", "is_trainable")),
        *((name, 0, 1) for name in ("weight", "loss_mask", "train", "loss_weight")),
        ("weight", 0.0, 1.0),
        ("masked", True, False),
    ],
)
def test_flags_of_messages_are_obeyed_in_every_spelling(flag: str, off: Any, on: Any) -> None:
    turns = [ASK, {**TALK[1], flag: off}, ASK, {**SAY, flag: on}]
    assert flags({"messages": turns}) == [None, False, None, True]
    assert flags({"conversations": turns}) == [None, False, None, True]
    assert all(flag not in message for message in seen({"messages": turns})["messages"])


@pytest.mark.parametrize("name", ["loss_mask", "train", "weights", "turn_mask"])
@pytest.mark.parametrize("values", [[0, 0, 0, 1], [0, 1], "[0, 0, 0, 1]", [False, False, False, True]])
def test_flags_of_a_row_are_obeyed_for_messages_and_for_turns(name: str, values: Any) -> None:
    assert flags({"messages": TALK, name: values}) == [None, False, None, True]


def test_flags_of_a_row_count_before_its_system_prompt() -> None:
    assert flags({"messages": TALK, "system": "Be brief.", "loss_mask": [0, 0, 0, 1]}) == [
        None,
        None,
        False,
        None,
        True,
    ]


@pytest.mark.parametrize(("name", "value"), [("loss_mask", 0), ("train", False), ("weight", 0.0), ("masked", True)])
def test_a_row_can_be_excluded(name: str, value: Any) -> None:
    assert flags({"messages": TALK, name: value}) == [None, False, None, False]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"messages": [ASK, {**SAY, "weight": 0.5}]}, "the weight 0.5 is not supported"),
        ({"messages": [ASK, {**SAY, "loss_weight": 2}]}, "the weight 2 is not supported"),
        ({"messages": CHAT, "weight": 0.3}, "the weight 0.3 is not supported"),
        ({"messages": CHAT, "weight": "0.3"}, "the weight 0.3 is not supported"),
        ({"messages": CHAT, "weights": [0, 0.3]}, "the weight 0.3 is not supported"),
        ({"messages": [ASK, {**SAY, "mask": True}]}, "not certain"),
        ({"messages": [ASK, {**SAY, "skip": True}]}, "not certain"),
        ({"messages": [ASK, {**SAY, "excludeFromTraining": 1}]}, "not certain"),
        ({"messages": [ASK, {**SAY, "learnable": False}]}, "not certain"),
        ({"messages": [ASK, {**SAY, "include": False}]}, "not certain"),
        ({"messages": [ASK, {**SAY, "training_detail": [{"begin_offset": 0}]}]}, "parts of a message"),
        ({"messages": [ASK, {**SAY, "trainable": "perhaps"}]}, "must be true or false"),
        ({"messages": [ASK, {**SAY, "trainable": True, "masked": True}]}, "but"),
        ({"messages": [ASK, {**SAY, "loss_mask": [0, 1, 1]}]}, "one value for a message"),
        ({"messages": TALK, "loss_mask": [0, 0, 1]}, "has 3 values for 4 messages, 2 of them the assistant's"),
        ({"messages": [ASK, {**SAY, "train": True}], "loss_mask": [0, 0]}, "contradicts"),
        ({"messages": CHAT, "mask": [0, 1]}, "not certain"),
    ],
)
def test_a_flag_without_a_certain_meaning_is_refused_with_the_way_to_write_it(record: Any, problem: str) -> None:
    with pytest.raises(FieldError, match=problem) as raised:
        Conversation.coerce(read_record(record).value)
    assert raised.value.hint is not None or "but" in problem or "contradicts" in problem


def test_a_flag_on_another_message_is_noted() -> None:
    assert noted({"messages": [{**ASK, "train": True}, SAY]}, NoteKind.FLAG_WITHOUT_EFFECT) == {"train"}
    assert noted({"messages": CHAT, "loss_mask": [1, 1]}, NoteKind.FLAG_WITHOUT_EFFECT) == {"loss_mask"}
    assert noted({"messages": [{**ASK, "weight": 0}, {**SAY, "weight": 1}]}, NoteKind.FLAG_WITHOUT_EFFECT) == set()


def test_words_and_figures_in_columns_named_like_flags_are_metadata() -> None:
    assert flags({"messages": CHAT, "train": "part 1", "loss": 1.83, "split": "train"}) == [None, None]


@pytest.mark.parametrize("text", ["0", " no", "False", "0.0"])
def test_flags_of_a_row_may_be_texts_as_in_tables(text: str) -> None:
    assert flags({"prompt": "hi", "completion": "bad", "weight": text}) == [None, False]
    assert flags({"messages": TALK, "train": text}) == [None, False, None, False]


@pytest.mark.parametrize("flag", [0, "0", False, "no"])
def test_a_loss_of_a_row_that_is_not_measured_is_a_flag(flag: Any) -> None:
    assert flags({"messages": TALK, "loss": flag}) == [None, False, None, False]
    assert flags({"messages": TALK, "loss": "1.83"}) == [None] * 4


@pytest.mark.parametrize("key", ["reply", "utterance", "body"])
@pytest.mark.parametrize("text", ["42", "hello", "https://example.org/a", "How are you?"])
def test_a_message_whose_text_has_an_unknown_key_is_refused_whatever_its_text_is(key: str, text: str) -> None:
    with pytest.raises(FieldError, match="'content' is missing") as raised:
        read_record({"messages": [ASK, {"role": "assistant", key: text}]})
    assert key in str(raised.value.hint)


@pytest.mark.parametrize("name", ["add_generation_prompt", "continue_final_message"])
def test_a_row_does_not_decide_how_its_text_ends(name: str) -> None:
    with pytest.raises(FieldError, match="a conversation does not decide this"):
        Conversation.coerce({"messages": CHAT, "chat_template_kwargs": {name: True}})
    assert Conversation.coerce({"messages": CHAT, "chat_template_kwargs": {name: False}})


# Nothing is lost

TEXT = st.integers(0, 10**9).map(lambda number: f"text {number} here")
NAMES = st.sampled_from(
    [
        *("system", "system_prompt", "persona", "tools", "functions", "context", "input", "history", "note", "label"),
        *("images", "question", "answer", "prompt", "completion", "response", "metadata", "id", "train", "loss_mask"),
        *("conversation", "documents", "extra", "title", "weight"),
    ]
)
VALUES = st.one_of(TEXT, TEXT.map(lambda text: [text]), TEXT.map(lambda text: {"a": text}), st.none(), st.booleans())
TURNS = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["role", "from", "content", "value", "text", "thought", "function_call", "name", "train", "id"]
        ),
        st.sampled_from(["user", "human", "assistant", "gpt"]) | TEXT,
        min_size=2,
        max_size=4,
    ),
    min_size=1,
    max_size=3,
)
ROWS = st.builds(
    lambda messages, rest: {**rest, **messages},
    st.one_of(
        TURNS.map(lambda turns: {"messages": turns}),
        TURNS.map(lambda turns: {"conversations": turns}),
        st.just({"messages": CHAT}),
        st.fixed_dictionaries({"instruction": TEXT, "output": TEXT}),
        st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}),
    ),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


def texts_of(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return the made texts of a row, each with the column or key that it is in."""
    if isinstance(value, str):
        return [(name, value)] if value.startswith("text ") else []
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in texts_of(item, str(key))]
    if isinstance(value, list):
        return [pair for item in value for pair in texts_of(item, name)]
    return []


@given(ROWS)
def test_each_text_of_a_row_is_seen_or_noted_or_the_row_is_refused(row: dict[str, Any]) -> None:
    try:
        shown = json.dumps(seen(row))
        notes = read_record(row).notes
    except FieldError:
        return
    named = {note.name for note in notes}
    for column, value in row.items():
        for key, text in texts_of(value, column):
            assert text in shown or {key, column} & named, (column, text)


def told(read: Any, row: Any) -> Any:
    """Return what a template sees of a row by one way of reading it, or what is wrong with it."""
    try:
        return Conversation.coerce(read(row)).to_template_input()
    except FieldError as error:
        return error.problem


@given(ROWS)
def test_all_ways_of_reading_a_row_agree(row: dict[str, Any]) -> None:
    assert told(parse_record, row) == told(lambda given: read_record(given).value, row)


@pytest.mark.parametrize("kind", NoteKind)
def test_each_note_has_words(kind: NoteKind) -> None:
    assert "1,234 rows" in ReadingNote(kind, "name", "target").message(1234)
    assert "some rows" in ReadingNote(kind, "name").message()


def test_short_values_are_content_only_by_their_name() -> None:
    assert not is_content("mood", "calm")
    assert is_content("mood", "calm and collected")
    assert is_content("system_style", "calm")
    assert not is_content("vector", [0.1, 0.2])


_CALLS = st.sampled_from(
    [
        {"function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "1", "type": "function", "function": {"name": "f"}},
        {"function": {"name": "f", "arguments": '{"x": 1}'}},
        {"function": '{"name": "f", "arguments": "{}"}'},
        {"name": "f", "arguments": {"x": "y"}},
        {"name": "f", "arguments": "{}"},
        {"name": "f", "args": {}},
        {"function": {"name": "f", "parameters": {}}},
        '{"name": "f", "arguments": {}}',
        None,
    ]
)
_TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "human", None])},
    optional={
        "content": st.sampled_from(["a", "", None, [{"type": "text", "text": "a"}], {"a": 1}]),
        "tool_calls": st.none() | st.lists(_CALLS, max_size=2) | st.just("[]"),
        "reasoning_content": st.sampled_from(["why", "", None]),
        "tool_call_id": st.just("1"),
        "weight": st.sampled_from([0, 1]),
        "function_call": st.none(),
        "value": st.just("b"),
        "mood": st.just("This is a good day for a walk."),
    },
)


@given(_TURNS, st.booleans())
def test_a_simple_message_is_one_that_the_general_reader_leaves_as_it_is(turn: dict[str, Any], decode: bool) -> None:
    if is_simple(turn):
        reader = TurnReader("messages", decode=decode)
        assert reader._turn(turn, ("messages", 0)) is turn
        assert not reader.notes


@pytest.mark.parametrize(
    ("call", "spelling"),
    [
        ({"name": "f", "arguments": {"x": 1}}, "tool_calls[].arguments"),
        ({"id": "1", "type": "tool_call", "name": "f", "args": {"x": 1}}, "tool_calls[].args"),
        ({"type": "tool_use", "name": "f", "input": {"x": 1}}, "tool_calls[].input"),
        ({"tool_name": "f", "parameters": {"x": 1}}, "tool_calls[].parameters"),
        ({"function": "f", "arguments": {"x": 1}}, "tool_calls[].arguments"),
        ({"function": {"name": "f", "parameters": {"x": 1}}}, "tool_calls[].function.parameters"),
        ({"function": {"name": "f", "arguments": None, "args": {"x": 1}}}, "tool_calls[].function.args"),
    ],
)
def test_a_tool_call_in_another_spelling_is_read_with_a_note(call: dict[str, Any], spelling: str) -> None:
    record = {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [call]}]}
    (read,) = seen(record)["messages"][1]["tool_calls"]
    assert read["function"] == {"name": "f", "arguments": {"x": 1}}
    assert read.get("id") == call.get("id")
    assert noted(record, NoteKind.READ_AS) == {spelling}


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"name": "f", "argument": {"x": 1}}, "unknown key 'argument'"),
        ({"function": '{"name": "f", "argum'}, "must be a dict with 'name' and 'arguments'"),
        ({"nam": "f", "arguments": {"x": 1}}, "unknown key 'nam'"),
    ],
)
def test_a_call_that_is_misspelt_or_cut_off_is_refused(call: dict[str, Any], problem: str) -> None:
    with pytest.raises(FieldError, match=problem):
        seen({"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [call]}]})


def test_usual_tool_calls_are_simple() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    assert all(is_simple({"role": "assistant", "tool_calls": [call], **more}) for more in ({}, {"content": ""}))
    assert not is_simple({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})


# Flags where none are read, and fields that not every template renders


@pytest.mark.parametrize("name", ["labels", "assistant_masks", "assistant_mask", "completion_mask", "token_weights"])
def test_a_number_for_each_token_is_named(name: str) -> None:
    values = [[0, 1, 1], [[0, 1], [1]], "[-100, 5, 6]"]
    assert [noted({"messages": CHAT, name: value}, NoteKind.UNREAD_FLAG) for value in values] == [{name}] * 3
    assert noted({"messages": [ASK, {**SAY, name: values[0]}]}, NoteKind.UNREAD_FLAG) == {name}
    assert noted({"prompt": "Tide?", "completion": "2.4 m", name: values[0]}, NoteKind.UNREAD_FLAG) == {name}
    assert noted({"messages": CHAT, "attention_mask": [1, 1], "input_ids": [5, 6]}, NoteKind.UNREAD_FLAG) == set()


@pytest.mark.parametrize(
    "flag", [{"train": False}, {"weight": 0}, {"loss": False}, {"masked": True}, {"a": {"learn": "no"}}]
)
@pytest.mark.parametrize("written", [dict, json.dumps], ids=["object", "JSON"])
def test_a_flag_against_training_inside_another_field_is_refused(flag: dict[str, Any], written: Any) -> None:
    value = written(flag)
    for record in ({"messages": [ASK, {**SAY, "metadata": value}]}, {"messages": CHAT, "extra": value}):
        with pytest.raises(FieldError, match="says what is not trained"):
            read_record(record)


def test_a_flag_for_training_inside_another_field_is_named_and_other_values_are_not_flags() -> None:
    assert noted({"messages": [ASK, {**SAY, "metadata": {"train": True}}]}, NoteKind.UNREAD_FLAG) == {"metadata.train"}
    others = {"loss": 0.37, "split": "train", "mask": "x", "ignore": 0}
    assert noted({"messages": CHAT, "metadata": others}, NoteKind.UNREAD_FLAG) == set()
    assert noted({"messages": [{**ASK, "metadata": {"train": False}}, SAY]}, NoteKind.UNREAD_FLAG) == set()


def test_fields_that_not_every_template_renders_are_noted_with_their_role() -> None:
    calling = {**CALLING, "content": "Wait.", "reasoning_content": "Look it up."}
    result = {"role": "tool", "content": "2.4", "name": "tide"}
    messages = [{**ASK, "name": "Ann"}, calling, result, {"role": "system", "content": "Be brief."}, SAY]
    record = {"messages": messages, "tools": [TOOL], "documents": [{"text": "Tides"}], "source": "x"}
    expected = {
        *(("name", "user"), ("tool_calls", "assistant"), ("reasoning_content", "assistant"), ("content", "tool")),
        *(("name", "tool"), ("content", "later system"), ("tools", ""), ("documents", "")),
        ("content", "tool-calling assistant"),
    }
    for each in (record, {**record, "messages": tuple(messages)}, parse_record(record)):
        found = {(note.name, note.target) for note in read_record(each).notes if note.kind is NoteKind.FIELD}
        assert found == expected


def test_content_parts_of_other_types_are_noted() -> None:
    parts = [
        {"type": "text", "text": "Tide?"},
        {"type": "output_text", "text": "Now"},
        {"type": "file", "file": "x"},
        {"text": "y"},
    ]
    notes = read_record({"messages": [{**ASK, "content": parts}, SAY]}).notes
    found = {(note.name, note.target) for note in notes if note.kind is NoteKind.PART}
    assert found == {("output_text", "text"), ("file", "no text"), ("None", "text")}


@pytest.mark.parametrize("history", [True, 3, "3", "no list"])
def test_a_history_that_is_no_list_is_refused(history: Any) -> None:
    with pytest.raises(FieldError, match="must be a list of pairs of strings"):
        parse_record({"history": history, "instruction": "go", "output": "done"})
