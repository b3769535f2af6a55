"""Traces that stand in the content, in ``<think>``, of templates that read no reasoning of its own."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Template
from chattmpl.rewrite.retain.refusal import CannotRetain

PROMPT = "{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}"
WHOLE = "{%- for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>\\n' }}{% endfor %}" + PROMPT
"""Contents are rendered as they are; only the generation prompt tells that a turn begins with a trace."""

BEHIND_TOOLS = (
    "{%- for m in messages %}{%- if m.role == 'assistant' and loop.previtem and loop.previtem.role == 'tool' %}"
    "{{ '<|after|>' + m.content + '<|end|>' }}{%- elif m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' }}{%- else %}"
    "{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{%- endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|after|>' if messages[-1].role == 'tool' else '<|assistant|>' }}{% endif %}"
)
"""Traces are cut out of contents, but not of those behind the result of a tool."""

LAST_APART = (
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
    "{%- elif not loop.last %}{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if messages[-1].role == 'assistant' %}{{ '<|assistant|>' + messages[-1].content + '<|end|>' }}{% endif %}"
    + PROMPT
)
"""The last message is rendered behind the loop over messages."""

ASK: dict[str, Any] = {"role": "user", "content": "What is </think> for?"}
SAY: dict[str, Any] = {"role": "assistant", "content": "<think>\nPapaya\n</think>\n\nApricot"}
MORE: dict[str, Any] = {"role": "assistant", "content": "<think>\nMango\n</think>\n\nAlmond"}
RESULT: dict[str, Any] = {"role": "tool", "content": "Plum"}
TWO, LOOP = [ASK, SAY, ASK, MORE], [ASK, SAY, RESULT, MORE]


def _retained(source: str, policy: str) -> Template:
    return Template.from_source(source).retain(policy, examples=6)


def _traces(template: Template, messages: list[dict[str, Any]]) -> str:
    text = template.render(messages).text
    assert text.count("What is </think> for?") == messages.count(ASK)
    assert "Apricot" in text
    assert "Almond" in text
    return "".join(word[0] for word in ("Papaya", "Mango") if word in text)


@pytest.mark.parametrize("source", [WHOLE, BEHIND_TOOLS], ids=["whole", "behind tools"])
@pytest.mark.parametrize(
    ("policy", "two", "loop"), [("since_last_user", "M", "PM"), ("last", "M", "M"), ("none", "", "")]
)
def test_a_trace_is_cut_out_of_the_content_where_the_policy_drops_it(
    source: str, policy: str, two: str, loop: str
) -> None:
    made = _retained(source, policy)
    assert (_traces(made, TWO), _traces(made, LOOP)) == (two, loop)


def test_the_trace_of_a_last_message_that_is_rendered_behind_the_loop_counts_as_well() -> None:
    made = _retained(LAST_APART, "last")
    assert made.proof.unchanged
    with pytest.raises(CannotRetain, match="no change of up to three conditions"):
        _retained(LAST_APART, "none")


def test_contents_that_are_rendered_whole_are_all_kept_already() -> None:
    made = _retained(WHOLE, "all")
    assert made.proof.unchanged
    assert _traces(made, TWO) == "PM"


def test_the_contents_of_others_are_left_alone() -> None:
    made = _retained(WHOLE, "none")
    assert "m.role == 'assistant' and m.content is string" in made.source


def test_without_a_format_for_traces_it_is_refused_by_name() -> None:
    with pytest.raises(CannotRetain, match="it never renders reasoning, so there is no place for a policy"):
        _retained(WHOLE.replace("<think>\\n", ""), "none")


def test_a_content_that_is_no_text_is_rendered_as_before() -> None:
    source = WHOLE.replace("+ m.content +", "~ m.content ~")
    parts = [{"type": "text", "text": "</think>"}]
    messages = [ASK, {"role": "assistant", "content": parts}]
    assert _retained(source, "none").render(messages).text == Template.from_source(source).render(messages).text
