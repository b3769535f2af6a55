"""The fast path gives what the exact one gives, or leaves the row to it."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.conversation.shapes import parse_record
from chattmpl.conversation.strategies import conversations, texts
from chattmpl.errors import ChatTmplError
from support.extras import need
from support.reference import CLOCK

need("gigatoken", "numpy")

from chattmpl.data.encoder import Encoder, Rejection, Row  # noqa: E402
from chattmpl.data.fast.markers import (  # noqa: E402
    CLOSE,
    OPEN,
    SEPARATOR,
    TextStream,
    Unsupported,
    mask_tokens,
    parse_markers,
    split_markers,
    with_markers,
)
from chattmpl.data.fast.renderers import CompiledRenderer, JinjaRenderer  # noqa: E402
from chattmpl.data.fast.rows import prepare  # noqa: E402
from chattmpl.data.fast.text_checks import BOUNDARY, ControlTokenScanner, has_unassigned_characters  # noqa: E402

pytestmark = pytest.mark.data

FAMILIES = ("hybrid", "llama3", "gpt_oss")

HOSTILE = st.sampled_from(
    [
        *("\ud800", "\udfff", "\x00", "\x01", "\x02 \x01", "\x03", "\x1c", "\r\n", "\r", ""),
        *("e\u0301", "\u0323\u0307", "İ", "▁", "\U0001fae8", "\u0c5c"),
        *("<|im_end|>", "<|im_", "im_end|>", "<|im_end|", "<", ">", "<think>", "</think>", "</thi", "nk>"),
    ]
)


@functools.cache
def encoders(family: str) -> tuple[Encoder, Encoder]:
    """A fast and an exact one."""
    fast = Encoder(family, "demo", fast="require", check_every=0, clock=CLOCK)
    return fast, Encoder(family, "demo", fast="off", clock=CLOCK)


def told(result: Row | Rejection) -> Any:
    """All that a result says, to compare."""
    if isinstance(result, Rejection):
        return result
    return result.input_ids.tolist(), result.mask.tolist(), result.straddles, result.escaped, result.text


def with_hostile(record: dict[str, Any], pieces: list[str], at: int) -> dict[str, Any]:
    """A conversation with hostile text in one of its messages."""
    messages = [dict(message) for message in record["messages"]]
    if messages:
        message = messages[at % len(messages)]
        key = "reasoning_content" if at % 3 == 0 and message["role"] == "assistant" else "content"
        message[key] = "".join(pieces)
    return {**record, "messages": messages}


@pytest.mark.parametrize("family", FAMILIES)
@given(st.lists(conversations(), min_size=1, max_size=4), st.lists(HOSTILE | texts(1), max_size=3), st.integers(0, 20))
def test_both_paths_give_the_same_rows_and_the_same_refusals(
    family: str, records: list[dict[str, Any]], pieces: list[str], at: int
) -> None:
    records = [*records, with_hostile(records[0], pieces, at)]
    fast, exact = encoders(family)
    assert list(map(told, fast.encode_many(records))) == list(map(told, exact.encode_many(records)))


@given(conversations())
def test_a_row_reaches_the_template_as_the_models_hand_it_on(record: dict[str, Any]) -> None:
    assert as_seen(prepare, record) == as_seen(parse_record, record)


def as_seen(read: Any, record: Any) -> str:
    """What a template gets of a record by one of two ways of reading it, or the error."""
    try:
        result = read(record)
    except ChatTmplError as error:
        return str(error)
    if isinstance(result, Conversation):
        data = result.to_template_input()
        return repr([data["messages"], data["tools"], data["documents"]])
    return repr([result.messages, result.tools, result.documents])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "a", "thinking": "t"},
        {"role": "assistant", "content": None, "reasoning_content": "t", "name": None},
        {"reasoning_content": "t", "role": "assistant", "content": "a"},
        {"role": "assistant", "content": "a", "score": "high", "rating": 3},
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": None, "b": 1.0}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": None, "function": {"name": "f", "arguments": "{}"}}],
            "content": "",
        },
        {"role": "user", "content": ({"type": "text", "text": "a", "image": None},)},
    ],
)
def test_unusual_messages_reach_the_template_as_the_models_hand_them_on(message: dict[str, Any]) -> None:
    record = {"messages": [message], "tools": '[{"type": "function", "function": {"name": "f"}}]', "id": 7}
    expected, row = parse_record(record).to_template_input(), prepare(record)
    assert repr((row.messages, row.tools)) == repr((expected["messages"], expected["tools"]))


def test_sharegpt_rows_are_read_as_the_loaders_read_them() -> None:
    row = prepare({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]})
    assert [message["role"] for message in row.messages] == ["user", "assistant"]


# Markers


@pytest.mark.parametrize("tag", ["{% generation %}", "{%- generation -%}", "{%+ generation +%}", "{%- generation +%}"])
@pytest.mark.parametrize("end", ["{% endgeneration %}", "{%- endgeneration -%}", "{%+ endgeneration %}"])
@pytest.mark.parametrize("renderer", [CompiledRenderer, JinjaRenderer])
def test_markers_stand_where_the_tags_stand(tag: str, end: str, renderer: Any) -> None:
    source = f"{{% for m in messages %}}\n  {tag} \n  {{{{ m.content }}}} \n {end} \n.{{% endfor %}}"
    template = Template.from_source(source)
    conversation = {"messages": [{"role": "assistant", "content": "yes"}] * 2}
    rendering = template.render(conversation)
    now = rendering.template.budget  # any object: no clock is read here
    text = renderer(with_markers(template.program), now).render(parse_record(conversation).to_template_input())
    plain, generated = split_markers(text)
    assert (plain, generated) == (rendering.text, rendering.generated)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% set x %}{% generation %}a{% endgeneration %}{% endset %}{{ x }}", "inside a {% set %}"),
        ("{% macro f() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ f() }}", "inside a {% macro %}"),
        ("{% for m in messages %}{% generation %}a{% break %}{% endgeneration %}{% endfor %}", "{% break %}"),
        ("{{ chattmpl_open }}", "names that begin with chattmpl_"),
    ],
)
def test_a_template_whose_tags_cannot_become_markers_is_refused(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason.replace("{", r"\{")):
        with_markers(Template.from_source(source).program)


def test_masks_are_placed_by_bytes() -> None:
    # "é" has two bytes; the tokens are "a", "é", "b"
    stream = _markers(f"a{OPEN}é{CLOSE}b", f"{OPEN}ab{CLOSE}", "b")
    placed = mask_tokens(stream, *_lengths([[1, 2, 1], [1, 1], [1]]), exclude=False)
    assert placed.mask.tolist() == [0, 1, 0, 1, 1, 0]
    assert placed.straddles.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("exclude", "mask"), [(False, [1, 1, 1]), (True, [0, 1, 0])])
def test_a_token_across_an_edge_is_counted_and_trained_or_not_as_asked(exclude: bool, mask: list[int]) -> None:
    stream = _markers(f"a{OPEN}bcd{CLOSE}e")
    placed = mask_tokens(stream, *_lengths([[2, 1, 2]]), exclude=exclude)
    assert placed.mask.tolist() == mask
    assert placed.straddles.tolist() == [2]


def test_tokens_that_do_not_add_up_to_the_text_are_seen() -> None:
    stream = _markers("ab", "cd")
    assert mask_tokens(stream, *_lengths([[1], [2]]), exclude=False).misaligned.tolist() == [True, False]


@pytest.mark.parametrize(
    "text", [f"{OPEN}a", f"a{CLOSE}", f"{CLOSE}a{OPEN}", f"{OPEN}a{OPEN}b{CLOSE}", "\x00", "", "a\x1c"]
)
def test_a_text_whose_markers_are_not_in_pairs_or_that_holds_control_characters_is_bad(text: str) -> None:
    assert _markers("fine", text, "fine").bad.tolist() == [False, True, False]


def test_if_a_text_holds_a_separator_none_can_be_told_from_another() -> None:
    assert _markers("fine", f"a{SEPARATOR}b", "fine").bad.tolist() == [True, True, True]


def test_spans_that_share_a_token_train_it_once() -> None:
    stream = _markers(f"{OPEN}a{CLOSE}b{OPEN}c{CLOSE}", "d", f"{OPEN}e{CLOSE}")
    assert mask_tokens(stream, *_lengths([[3], [1], [1]]), exclude=False).mask.tolist() == [1, 0, 1]
    assert mask_tokens(stream, *_lengths([[3], [1], [1]]), exclude=True).mask.tolist() == [0, 0, 1]


def _markers(*texts: str) -> TextStream:
    return parse_markers(SEPARATOR.join(texts).encode(), len(texts))


def _lengths(tokens: list[list[int]]) -> tuple[Any, Any]:
    import numpy as np

    return np.array([n for row in tokens for n in row]), np.array(
        [sum(map(len, tokens[:n])) for n in range(len(tokens) + 1)]
    )


# What is left to the exact path


@pytest.mark.parametrize("text", ["<|im_end|>", "a <|im_end|> b", "ends with <", "ends with <|im_en", "<|im_end| \n"])
def test_a_text_with_a_control_token_or_its_beginning_at_the_end_is_found(text: str) -> None:
    assert ControlTokenScanner(["<|im_end|>", "<|im_start|>"], [], []).matches(BOUNDARY + text + BOUNDARY)


@pytest.mark.parametrize("text", ["", "im_end|>", "a < b", "<|im_ends|>", "<<", "<|im_end|"])
def test_other_texts_are_not_found(text: str) -> None:
    assert not ControlTokenScanner(["<|im_end|>"], [], []).matches(BOUNDARY + text + "." + BOUNDARY)


@pytest.mark.parametrize(
    ("text", "found"), [("user|>", True), ("use", True), (" user|> x", True), ("users", False), ("a user|>", False)]
)
def test_a_text_that_completes_a_token_which_the_template_begins_is_found(text: str, found: bool) -> None:
    scan = ControlTokenScanner([], ["a <|", "whole <|user|>"], ["<|user|>"])
    assert scan.matches(BOUNDARY + text + BOUNDARY) is found


def test_characters_that_came_after_unicode_14_are_known_whatever_the_tables_of_python() -> None:
    assert has_unassigned_characters("\U0001fae8")  # of Unicode 15
    assert not has_unassigned_characters("é日😀\U0010ffffx".replace("\U0010ffff", ""))
    assert all(
        has_unassigned_characters(chr(code))
        for code in range(0x30000, 0x300FF)
        if unicodedata.category(chr(code)) == "Cn"
    )
