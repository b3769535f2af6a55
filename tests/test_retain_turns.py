"""What a rewritten template leaves as it was: what stands beside traces in a turn, and laws that were broken before."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Template
from chattmpl.rewrite.retain.refusal import CannotRetain

# The results of tools are rendered within the turn that called them, before its content.
WITHIN = """\
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|assistant|>' }}
        {%- if m.reasoning_content and loop.last %}{{- '<t>' + m.reasoning_content + '</t>' }}{% endif %}
        {%- for call in m.tool_calls or [] %}{{- '<c>' + call.function.name + '</c>' }}{% endfor %}
        {%- if m.responses %}
            {{- m.responses }}
        {%- elif m.tool_calls and loop.nextitem and loop.nextitem.role == 'tool' %}
            {{- '<r>' + m.tool_calls[0].function.name + ':' + loop.nextitem.content + '</r>' }}
        {%- endif %}
        {{- (m.content or '') + '<|end|>' }}
    {%- elif m.role != 'tool' %}
        {{- '<|' + m.role + '|>' + m.content + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{% endif %}"""

CALL = {"id": "call00001", "type": "function", "function": {"name": "count", "arguments": {"of": "sheep"}}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Quince"},
    {"role": "assistant", "content": "Plan", "reasoning_content": "Papaya", "tool_calls": [CALL]},
    {"role": "tool", "name": "count", "tool_call_id": "call00001", "content": "Seven"},
    {"role": "assistant", "content": "Apricot", "reasoning_content": "Mango"},
]


def test_results_that_are_rendered_within_a_turn_stay() -> None:
    made = Template.from_source(WITHIN).retain("all", examples=6)
    assert made.source == WITHIN.replace(" and loop.last", "")
    text = made.render(TALK).text
    assert "<t>Papaya</t><c>count</c><r>count:Seven</r>Plan" in text


def test_a_law_that_fails_for_another_reason_is_named_and_strict_refuses_it() -> None:
    made = Template.from_source(WITHIN).retain("all", examples=6)
    assert any(note.startswith("prefix does not hold for another reason") for note in made.proof.notes)
    with pytest.raises(CannotRetain, match="the law prefix does not hold for another reason than its traces"):
        Template.from_source(WITHIN).retain("all", strict=True, examples=6)
