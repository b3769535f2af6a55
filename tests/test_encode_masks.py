"""Masks by choice: all turns, the last, by the flags of the messages, without reasoning."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Template
from chattmpl.encode import Encoding
from chattmpl.template.family import family_names, load_family
from support.snapshots import error_of

CHATML = Template.load("chatml")
Q1: dict[str, Any] = {"role": "user", "content": "one?"}
A1: dict[str, Any] = {"role": "assistant", "content": "One."}
Q2: dict[str, Any] = {"role": "user", "content": "two?"}
A2: dict[str, Any] = {"role": "assistant", "content": "Two."}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def trained(encoding: Encoding) -> str:
    """The characters of the trained tokens."""
    return "".join(token for token, mask in zip(encoding.tokens, encoding.assistant_masks, strict=True) if mask)


def masked(messages: list[dict[str, Any]], template: Template = CHATML, **options: Any) -> str:
    """What is trained of a conversation."""
    return trained(template.render(messages).encode("demo", **options))


def test_all_trains_every_assistant_turn() -> None:
    assert masked([Q1, A1, Q2, A2]) == "One.<|im_end|>Two.<|im_end|>"


def test_last_trains_the_last_assistant_turn() -> None:
    assert masked([Q1, A1, Q2, A2], mask="last") == "Two.<|im_end|>"
    assert masked([Q1, A1, Q2], mask="last") == "One.<|im_end|>"


def test_last_trains_nothing_where_there_is_nothing() -> None:
    assert masked([Q1], mask="last") == ""


def test_last_is_the_last_assistant_message_even_if_nothing_of_it_is_generated() -> None:
    template = Template.from_source(
        "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert masked([Q1, A1, Q2, A2], template) == "One."
    assert masked([Q1, A1, Q2, A2], template, mask="last") == ""


@pytest.mark.parametrize("flag", [{"train": False}, {"weight": 0}])
@pytest.mark.parametrize(
    ("choice", "expected"),
    [("all", "One.<|im_end|>"), ("last", ""), ("flags", "One.<|im_end|>"), ("no-reasoning", "One.<|im_end|>")],
)
def test_a_message_that_says_so_is_never_trained(flag: dict[str, Any], choice: str, expected: str) -> None:
    assert masked([Q1, {**A1, "train": True}, Q2, {**A2, **flag}], mask=choice) == expected


@pytest.mark.parametrize("flag", [{"train": True}, {"weight": 1}, {"weight": 0.5}])
def test_flags_train_the_messages_that_say_so_and_no_other(flag: dict[str, Any]) -> None:
    assert masked([Q1, {**A1, **flag}, Q2, A2], mask="flags") == "One.<|im_end|>"


def test_flags_that_nobody_gave_are_an_error() -> None:
    assert str(error_of(lambda: masked([Q1, A1], mask="flags"))) == (
        "mask='flags', but no message has a flag\n"
        "hint: set train: true or a weight on the messages to train, or use mask='all'"
    )


def test_a_flag_on_a_user_message_trains_no_user() -> None:
    assert masked([{**Q1, "train": True}, A1], mask="flags") == ""


R1 = {**A1, "reasoning_content": "Hmm, one."}
R2 = {**A2, "reasoning_content": "Then two."}


REASONING_FAMILIES = [name for name in family_names() if load_family(name).supports.reasoning]


@pytest.mark.parametrize("name", REASONING_FAMILIES)
def test_without_reasoning_neither_the_reasoning_nor_its_frame_is_trained(name: str) -> None:
    family, template = load_family(name), Template.load(name, retention="all")
    whole = masked([Q1, R1, Q2, R2], template)
    rest = masked([Q1, R1, Q2, R2], template, mask="no-reasoning")
    frames = [token for token in family.generation.control_tokens if "think" in token.lower()]
    for gone in ("Hmm, one.", "Then two.", *frames):
        assert gone not in rest
    for kept in ("One.", "Two."):
        assert kept in rest
    for trace in ("Hmm, one.", "Then two."):
        assert trace in whole
    assert rest.endswith(family.generation.stop_tokens)


def test_some_families_reason() -> None:
    assert len(REASONING_FAMILIES) >= 4


def test_without_reasoning_an_empty_think_block_is_not_trained_either() -> None:
    template = Template.load("qwen3", retention="all")
    assert masked([Q1, A1, Q2, R2], template) == (
        "<think>\n\n</think>\n\nOne.<|im_end|><think>\nThen two.\n</think>\n\nTwo.<|im_end|>"
    )
    assert masked([Q1, A1, Q2, R2], template, mask="no-reasoning") == "One.<|im_end|>Two.<|im_end|>"


def test_without_reasoning_a_tool_call_is_trained() -> None:
    template = Template.load("qwen3", retention="all")
    calling = {"role": "assistant", "content": "", "reasoning_content": "Call it.", "tool_calls": [CALL]}
    text = masked([Q1, calling], template, mask="no-reasoning")
    assert text.startswith("<tool_call>\n")
    assert text.endswith("</tool_call><|im_end|>")


def test_without_reasoning_only_the_stop_token_of_a_turn_of_reasoning_is_trained() -> None:
    template = Template.load("qwen3", retention="all")
    thinking = {"role": "assistant", "content": "", "reasoning_content": "Only this."}
    assert masked([Q1, thinking], template, mask="no-reasoning") == "<|im_end|>"


def test_reasoning_in_a_frame_of_words_is_taken_out_by_its_field() -> None:
    template = Template.from_source(
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}Thought: {{ m.reasoning_content }} "
        "So: {{ m.content }}{% endgeneration %}{% else %}{{ m.content }}\n\n{% endif %}{% endfor %}"
    )
    text = masked([Q1, R1], template, mask="no-reasoning", straddle="split")
    assert text == " So: One."


def test_words_like_think_tags_in_an_answer_are_the_answer() -> None:
    template = Template.load("qwen3", retention="all")
    quoting = {"role": "assistant", "content": "write <think> and </think> around it"}
    text = masked([Q1, quoting, Q2, {**A2, "content": "see <think>"}], template, mask="no-reasoning")
    assert text.endswith("<|im_end|>see <think><|im_end|>")


def test_a_token_across_the_end_of_the_reasoning_is_a_straddle_too() -> None:
    template = Template.from_source(
        "{% for m in messages %}{% generation %}{{ m.reasoning_content }}: {{ m.content }}{% endgeneration %}"
        "{% endfor %}"
    )
    rendering = template.render([{**A1, "reasoning_content": "Hmm:"}])
    assert rendering.encode("demo").straddles == ()
    (straddle,) = rendering.encode("demo", mask="no-reasoning").straddles
    assert (straddle.text, straddle.edge_c, straddle.side) == ("::", 4, "start")
    assert trained(rendering.encode("demo", mask="no-reasoning", straddle="exclude")) == " One."
    assert trained(rendering.encode("demo", mask="no-reasoning", straddle="split")) == ": One."
