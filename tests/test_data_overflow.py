"""Rows longer than max_length: every sample that is made of them is one that a shorter conversation gives."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from support.extras import need

need("numpy")

from chattmpl.data.encoder import Encoder, Row  # noqa: E402
from chattmpl.data.overflow import Fitted, fit  # noqa: E402
from chattmpl.options import Overflow  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")]

SYSTEM = {"role": "system", "content": "Be brief."}
MESSAGES: list[dict[str, Any]] = [
    SYSTEM,
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "first " * 10, "reasoning_content": "thought"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "second " * 10, "reasoning_content": "thought"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "third " * 10, "reasoning_content": "thought"},
]


@cache
def encoder(retention: str = "all", mask: str = "all") -> Encoder:
    from chattmpl import Template

    template = Template.load("qwen3", retention=retention)
    return Encoder(template, "demo", fast="off", rows="one", mask=mask)  # type: ignore[arg-type]


def sample_of(messages: list[dict[str, Any]], **options: str) -> Row:
    sample = encoder(**options).encode_many([messages])[0]
    assert isinstance(sample, Row)
    return sample


def fitted(length: int, policy: Overflow, messages: list[dict[str, Any]] | None = None, **options: str) -> Fitted:
    given = messages or MESSAGES
    mask = options.get("mask", "all")
    return fit(encoder(**options), given, [sample_of(given, **options)], length, policy, mask=mask)


def ids(samples: list[Row]) -> list[list[int]]:
    return [sample.input_ids.tolist() for sample in samples]


def test_reject_makes_nothing_of_it() -> None:
    result = fitted(20, "reject")
    assert result.rows == []
    assert [refusal.reason for refusal in result.rejected] == ["too-long"]
    assert f"has {len(sample_of(MESSAGES))} tokens, more than 20" in result.rejected[0].message


@pytest.mark.parametrize("retention", ["all", "since_last_user", "last", "none"])
@pytest.mark.parametrize("turns", [1, 2])
def test_whole_turns_are_dropped_from_the_end_and_the_rest_is_rendered_as_the_whole(retention: str, turns: int) -> None:
    shorter = MESSAGES[: 1 + 2 * turns]
    wanted = sample_of(shorter, retention=retention)
    result = fitted(len(wanted), "truncate-turns", retention=retention)
    assert ids(result.rows) == [wanted.input_ids.tolist()]
    assert result.rows[0].mask.tolist() == wanted.mask.tolist()
    assert (result.counts["rows"], result.counts["turns"]) == (1, 3 - turns)


def test_what_was_lost_is_counted() -> None:
    whole, kept = sample_of(MESSAGES), sample_of(MESSAGES[:3])
    counts = fitted(len(kept), "truncate-turns").counts
    assert counts["tokens"] == len(whole) - len(kept)
    assert counts["trained"] == whole.trained - kept.trained > 0


@pytest.mark.parametrize("policy", ["truncate-turns", "split"])
def test_where_not_even_a_turn_fits_the_row_is_refused(policy: Overflow) -> None:
    result = fitted(10, policy)
    assert result.rows == []
    assert result.counts["split"] == 0
    assert {refusal.reason for refusal in result.rejected} == {"too-long"}


def test_messages_of_the_user_at_the_end_go_before_any_turn_does() -> None:
    longer = [*MESSAGES, {"role": "user", "content": "four " * 50}]
    assert ids(fitted(len(sample_of(MESSAGES)), "truncate-turns", longer).rows) == ids([sample_of(MESSAGES)])


def test_a_long_conversation_is_shortened_by_halving() -> None:
    long = [SYSTEM, *MESSAGES[1:] * 20]
    wanted = sample_of(long[:43])
    assert ids(fitted(len(wanted) + 1, "truncate-turns", long).rows) == [wanted.input_ids.tolist()]


def test_tokens_are_cut_and_a_span_that_is_cut_is_counted() -> None:
    whole = sample_of(MESSAGES)
    inside = next(i for i in range(len(whole) - 1, 0, -1) if whole.mask[i - 1] and whole.mask[i])
    result = fitted(inside, "truncate-tokens")
    assert ids(result.rows) == [whole.input_ids[:inside].tolist()]
    assert result.counts["spans_cut"] == 1
    between = next(i for i in range(inside, 0, -1) if not whole.mask[i])
    assert fitted(between, "truncate-tokens").counts["spans_cut"] == 0


def test_a_row_whose_cut_leaves_nothing_to_train_is_set_aside() -> None:
    result = fitted(5, "truncate-tokens")
    assert result.rows == []
    assert [refusal.reason for refusal in result.rejected] == ["nothing-to-train"]


def test_split_gives_each_part_the_system_message() -> None:
    two = sample_of(MESSAGES[:5])
    result = fitted(len(two), "split")
    assert ids(result.rows) == ids([two, sample_of([SYSTEM, *MESSAGES[5:]])])
    assert result.counts["split"] == 1
    assert result.counts["turns"] == 0


def test_split_keeps_a_tool_loop_together_and_shortens_one_that_does_not_fit() -> None:
    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    loop: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "result " * 60},
        {"role": "assistant", "content": "done"},
    ]
    given = [SYSTEM, *loop, *MESSAGES[1:3]]
    begun, other = sample_of([SYSTEM, *loop[:2]]), sample_of(MESSAGES[:3])
    result = fitted(max(len(begun), len(other)), "split", given)
    assert ids(result.rows) == ids([begun, other])
    assert result.counts["turns"] == 1


def test_an_exchange_that_does_not_fit_is_named_and_the_others_are_kept() -> None:
    given = [SYSTEM, MESSAGES[1], {"role": "assistant", "content": "long " * 300}, *MESSAGES[3:]]
    result = fitted(len(sample_of([SYSTEM, *MESSAGES[3:]])), "split", given)
    assert ids(result.rows) == ids([sample_of([SYSTEM, *MESSAGES[3:]])])
    assert [refusal.message.split(" fits")[0] for refusal in result.rejected] == [
        "no trained turn of messages[1] to messages[2]"
    ]


def test_where_only_the_last_turn_is_trained_it_is_not_another_that_is_trained_instead() -> None:
    kept = len(sample_of(MESSAGES[:5], mask="last"))
    assert fitted(kept, "truncate-turns", mask="last").rows == []
    split = fitted(kept, "split", mask="last")
    assert ids(split.rows) == ids([sample_of([SYSTEM, *MESSAGES[5:]], mask="last")])


def test_the_row_that_a_conversation_gives_is_not_touched() -> None:
    before = encoder().encode_many([MESSAGES])[0]
    assert isinstance(before, Row)
    sample = Row(before.input_ids, before.mask)
    fit(encoder(), MESSAGES, [sample], 20, "truncate-tokens")
    assert len(sample) == len(before.input_ids)
