"""Families obey the laws of masks, except for the defects that they declare.

The laws are checked on the conversations of the goldens, under the retention ``all`` where the upstream's own history
cannot obey them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chattmpl import Rendering, Template
from chattmpl.conversation.models import Conversation
from chattmpl.errors import RenderError
from chattmpl.laws import Case, Counterexample, evaluate, laws
from chattmpl.laws.checker import declared_defect, settings_to_check
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.template.family import Defect, family_names, load_family
from support.goldens import UPSTREAM_FAMILIES, goldens, render_row

DECLARED = [
    pytest.param(name, defect, id=f"{name}-{defect.law}")
    for name in family_names()
    for defect in load_family(name).upstream_defects
    if defect.law is not None
]

_QUESTION, _TURN = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


def lawful(family: str) -> Template:
    """The family, under the policy that keeps history as it was sampled, if it has a say in it."""
    template = Template.load(family)
    return template.with_retention("all") if template.program.has_reasoning else template


def contradicts_itself(row: dict[str, Any]) -> bool:
    """Thinking is off, but a turn has a trace: no prompt could have led to that turn."""
    messages = row["messages"]
    has_trace = any(m.get("reasoning_content") or "</think>" in str(m.get("content")) for m in messages)
    return row["kwargs"].get("enable_thinking") is False and has_trace


def rows(family: str) -> Iterator[tuple[dict[str, Any], Rendering]]:
    for row in goldens(family):
        try:
            yield row, render_row(lawful(family), row, add_generation_prompt=False)
        except RenderError:
            continue


def turn_ranges(rendering: Rendering) -> dict[int, tuple[int, int]]:
    """The generated range of each turn, which must be in one piece."""
    ranges: dict[int, tuple[int, int]] = {}
    for span in rendering.spans:
        if span.generated:
            assert span.turn is not None
            start, end = ranges.get(span.turn, (span.start, span.start))
            assert span.start == end, "a turn is sampled in one piece"
            ranges[span.turn] = (start, span.end)
    return ranges


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_the_prompt_is_exactly_the_text_before_each_generated_span(family: str) -> None:
    template = lawful(family)
    checked = 0
    for row, rendering in rows(family):
        if contradicts_itself(row):
            continue
        for turn, (start, _) in turn_ranges(rendering).items():
            prompt = render_row(template, row, messages=row["messages"][:turn], add_generation_prompt=True)
            assert prompt.text == rendering.text[:start], f"{row['id']}, turn {turn}"
            checked += 1
    assert checked > 80


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_each_assistant_message_has_a_generated_span_that_ends_with_a_stop_token(family: str) -> None:
    template = lawful(family)
    assert template.family is not None
    for row, rendering in rows(family):
        ranges = turn_ranges(rendering)
        assert list(ranges) == [i for i, m in enumerate(row["messages"]) if m["role"] == "assistant"], row["id"]
        for start, end in ranges.values():
            assert rendering.text[start:end].endswith(template.family.generation.stop_tokens), row["id"]


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_only_what_comes_from_assistant_messages_is_generated_and_all_of_that(family: str) -> None:
    facts = Template.load(family).family
    assert facts is not None
    declared = {field for defect in facts.upstream_defects if defect.law == "pure" for field in defect.fields}
    for row, rendering in rows(family):
        for span in rendering.spans:
            if span.literal or span.field == "role" or span.field in declared:
                continue
            role = None if span.message is None else row["messages"][span.message]["role"]
            assert span.generated == (role == "assistant"), f"{row['id']}: {span}"


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_the_spans_know_which_message_each_character_came_from(family: str) -> None:
    """Text that stands in one message only is found in a span of that message."""
    found = 0
    for row, rendering in rows(family):
        contents = [m["content"].strip() for m in row["messages"] if isinstance(m.get("content"), str)]
        for index, message in enumerate(row["messages"]):
            content = message.get("content")
            if not isinstance(content, str) or len(content) < 30 or rendering.text.count(content.strip()) != 1:
                continue
            if sum(content.strip() in other for other in contents) != 1:
                continue
            start = rendering.text.index(content.strip())
            spans = [s for s in rendering.spans if s.start < start + len(content.strip()) and s.end > start]
            assert {(s.message, s.field) for s in spans} == {(index, "content")}, row["id"]
            found += 1
    assert found


@pytest.mark.parametrize(("name", "defect"), DECLARED)
def test_a_declared_defect_is_seen_on_a_fixture(name: str, defect: Defect) -> None:
    template = Template.load(name)
    policies = [template, template.with_retention("all")] if template.program.has_reasoning else [template]
    law = laws()[defect.law or ""]
    cases = (
        Case(one, each, kwargs)
        for one in policies
        for each in (*shipped_conversations(), *([defect.example] if defect.example else ()))
        for kwargs in settings_to_check(one)
    )
    broken = (found for found in (evaluate(law, case) for case in cases) if isinstance(found, Counterexample))
    assert any(declared_defect(template.family, found) == defect for found in broken)


@pytest.mark.parametrize(
    ("messages", "declared"),
    [
        pytest.param([_TURN], True, id="no question"),
        pytest.param([_TURN, _QUESTION], True, id="before the question"),
        pytest.param([_QUESTION, _TURN], False, id="after the question"),
    ],
)
def test_qwen3_declares_turns_before_the_first_question(messages: list[dict[str, Any]], declared: bool) -> None:
    conversation = Conversation.coerce(messages)
    found = Counterexample("sampled", "", conversation, {"enable_thinking": False}, kind="prompt-differs")
    assert (declared_defect(load_family("qwen3"), found) is not None) == declared


def test_another_counterexample_of_the_same_law_is_not_excused() -> None:
    found = Counterexample("prefix", "", shipped_conversations()[0], {"enable_thinking": False}, kind="rewritten")
    assert declared_defect(load_family("qwen3"), found) is None


def test_what_has_no_family_declares_nothing() -> None:
    conversation = Conversation.coerce([{"role": "assistant", "content": "</think>"}])
    found = Counterexample("prefix", "", conversation, {"enable_thinking": False}, kind="rewritten")
    assert declared_defect(None, found) is None
    assert declared_defect(load_family("qwen3"), found) is not None
