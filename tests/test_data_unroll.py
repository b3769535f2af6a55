"""Unrolled rows: each supervised token stands after what the model sees at inference."""

from __future__ import annotations

import datetime as dt
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.files import load_conversation
from chattmpl.errors import ChatTmplError, RenderError
from chattmpl.template.family import family_names, shipped_folder
from support.extras import need

need("numpy")

import numpy as np  # noqa: E402

from chattmpl.data.encoder import Encoder, Rejection, Row  # noqa: E402
from chattmpl.data.unroll import Unrolled, heads, unroll  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")]

CLOCK = dt.datetime(2025, 1, 2, 3, 4, 5)
THINKING = [
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2", "reasoning_content": "one and one"},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4", "reasoning_content": "two and two"},
    {"role": "user", "content": "3+3?"},
    {"role": "assistant", "content": "6", "reasoning_content": "three and three"},
]


def templates() -> list[tuple[str, str | None]]:
    reasoning = [name for name in family_names() if Template.load(name).program.has_reasoning]
    plain = [(name, None) for name in family_names() if name not in reasoning]
    return [*plain, *((name, policy) for name in reasoning for policy in POLICIES)]


@cache
def conversations() -> list[tuple[str, Conversation]]:
    shipped = [(path.stem, load_conversation(path)) for path in sorted(shipped_folder("fixtures").glob("*.json"))]
    return [*shipped, ("thinking", Conversation.coerce(THINKING))]


def made(family: str, policy: str | None, **options: Any) -> tuple[Template, Encoder]:
    template = Template.load(family, retention=policy)
    return template, Encoder(template, "demo", fast="off", clock=CLOCK, **options)


def runs(sample: Row) -> list[tuple[int, int]]:
    """Return the trained runs of a row, in tokens."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sample.mask, [0]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def trained_turns(template: Template, conversation: Conversation, unrolled: Unrolled) -> list[int]:
    """For each trained run the turn of the conversation whose prompt is all that stands before it."""
    prompts = {}
    for index, message in enumerate(conversation.messages):
        if message.role == "assistant":
            head = conversation.with_messages(conversation.messages[:index])
            prompt = template.render(head, add_generation_prompt=True, clock=CLOCK)
            prompts[tuple(prompt.encode("demo").input_ids)] = index
    found = []
    for sample in unrolled.rows:
        for start, _ in runs(sample):
            before = tuple(sample.input_ids[:start].tolist())
            assert before in prompts, f"no prompt is what stands before token {start}"
            found.append(prompts[before])
    return found


def refuses(template: Template, conversation: Conversation, end: int) -> bool:
    try:
        template.render(conversation.with_messages(conversation.messages[:end]), clock=CLOCK)
    except ChatTmplError:
        return True
    return False


@pytest.mark.parametrize(("family", "policy"), templates())
def test_what_stands_before_a_trained_token_is_a_prompt_at_inference_under_every_policy(
    family: str, policy: str | None
) -> None:
    template, encoder = made(family, policy)
    checked = 0
    for name, conversation in conversations():
        turns = [i for i, m in enumerate(conversation.messages) if m.role == "assistant" and m.trained is not False]
        [unrolled] = unroll(encoder, [conversation])
        if unrolled.rejected:
            # The template refuses the whole, or the shorter conversations that a turn needs.
            ends = [*(turn + 1 for turn in turns), len(conversation.messages)]
            assert any(refuses(template, conversation, end) for end in ends), (name, unrolled.rejected)
            continue
        assert sorted(trained_turns(template, conversation, unrolled)) == turns, name
        checked += len(turns)
    assert checked > 15


def test_where_history_is_as_it_was_sampled_the_one_row_is_the_plain_one() -> None:
    _, encoder = made("qwen3", "all")
    [plain] = encoder.encode_many([THINKING])
    [unrolled] = unroll(encoder, [THINKING])
    assert isinstance(plain, Row)
    [sample] = unrolled.rows
    assert sample.input_ids.tolist() == plain.input_ids.tolist()
    assert sample.mask.tolist() == plain.mask.tolist()


def test_a_policy_that_drops_reasoning_gives_a_row_for_each_turn_whose_reasoning_is_dropped() -> None:
    _, encoder = made("qwen3", "since_last_user")
    [unrolled] = unroll(encoder, [THINKING])
    assert [len(runs(sample)) for sample in unrolled.rows] == [1, 1, 1]


def test_turns_of_one_tool_loop_share_a_row_because_their_reasoning_is_kept() -> None:
    loop: list[dict[str, Any]] = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "ask",
            "tool_calls": [{"function": {"name": "get", "arguments": {"city": "Rome"}}}],
        },
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "Sunny.", "reasoning_content": "tell"},
    ]
    _, encoder = made("qwen3", "since_last_user")
    [unrolled] = unroll(encoder, [[*THINKING[:2], *loop]])
    assert [len(runs(sample)) for sample in unrolled.rows] == [1, 2]


def test_a_message_of_the_user_at_the_end_does_not_take_the_last_answer_its_reasoning() -> None:
    template, encoder = made("qwen3", "since_last_user")
    messages = [*THINKING[:2], {"role": "user", "content": "thanks"}]
    [unrolled] = unroll(encoder, [messages])
    assert trained_turns(template, Conversation.coerce(messages), unrolled) == [1]
    [sample] = unrolled.rows
    alone = encoder.encode_many([THINKING[:2]])[0]
    assert isinstance(alone, Row)
    assert sample.input_ids.tolist() == alone.input_ids.tolist()


def test_a_message_of_the_user_at_the_end_stays_where_it_changes_nothing() -> None:
    _, encoder = made("qwen3", "all")
    messages = [*THINKING[:4], {"role": "user", "content": "thanks"}]
    plain = encoder.encode_many([messages])[0]
    [unrolled] = unroll(encoder, [messages])
    assert isinstance(plain, Row)
    assert [sample.input_ids.tolist() for sample in unrolled.rows] == [plain.input_ids.tolist()]


def test_turns_that_are_not_to_be_trained_get_no_row() -> None:
    messages = [{**m, "train": False} if i == 1 else m for i, m in enumerate(THINKING)]
    template, encoder = made("qwen3", "since_last_user")
    [unrolled] = unroll(encoder, [messages])
    assert trained_turns(template, Conversation.coerce(messages), unrolled) == [3, 5]


@pytest.mark.parametrize(("mask", "turns"), [("last", [5]), ("flags", [3]), ("all", [1, 3, 5])])
def test_the_choice_of_mask_chooses_the_turns(mask: str, turns: list[int]) -> None:
    messages = [{**m, "weight": 1.0} if i == 3 else m for i, m in enumerate(THINKING)]
    assert [head.turn_m for head in heads(messages, mask) if head.turn_m is not None] == turns
    template, encoder = made("qwen3", "since_last_user", mask=mask)
    [unrolled] = unroll(encoder, [messages])
    assert trained_turns(template, Conversation.coerce(messages), unrolled) == turns


def test_a_mask_without_reasoning_leaves_the_prompt_and_trains_the_rest_of_the_turn() -> None:
    _, plain = made("qwen3", "since_last_user")
    _, encoder = made("qwen3", "since_last_user", mask="no-reasoning")
    [full] = unroll(plain, [THINKING])
    [bare] = unroll(encoder, [THINKING])
    assert [sample.input_ids.tolist() for sample in bare.rows] == [sample.input_ids.tolist() for sample in full.rows]
    assert all(0 < less.trained < more.trained for less, more in zip(bare.rows, full.rows, strict=True))


def test_a_row_that_is_too_long_goes_without_its_last_turns() -> None:
    template, encoder = made("qwen3", "all")
    whole = encoder.encode_many([THINKING])[0]
    assert isinstance(whole, Row)
    [unrolled] = unroll(encoder, [THINKING], max_length=len(whole) - 1)
    assert unrolled.too_long == [5]
    assert trained_turns(template, Conversation.coerce(THINKING), unrolled) == [1, 3]


def test_a_conversation_that_the_template_refuses_is_refused_with_the_reason() -> None:
    template, encoder = made("gemma3", None)
    twice = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    with pytest.raises(RenderError, match="Gemma 3 wants the user and the model in turn") as raised:
        template.render(twice)
    [unrolled] = unroll(encoder, [twice])
    [rejected] = encoder.encode_many([twice])
    assert isinstance(rejected, Rejection)
    assert unrolled.rows == []
    assert [refusal.message for refusal in unrolled.rejected] == [raised.value.message] == [rejected.message]


def test_rows_stand_in_the_order_of_their_turns() -> None:
    _, encoder = made("qwen3", "last")
    [unrolled] = unroll(encoder, [THINKING])
    assert all(len(first) < len(second) for first, second in pairwise(unrolled.rows))
