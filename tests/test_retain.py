"""Another retention policy for a template: which conditions are changed, and what is refused."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from chattmpl import Template
from chattmpl.conversation.strategies import conversations
from chattmpl.errors import UsageError
from chattmpl.rewrite.retain.refusal import CannotRetain

HEAD = "{%- for m in messages -%}\n{{- '<|im_start|>' + m.role + '\\n' -}}\n"
TAIL = """{{- m.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
TRACE = "{{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' -}}"


def _rendering_traces_if(condition: str, before: str = "") -> str:
    return f"{before}{HEAD}{{%- if {condition} -%}}\n{TRACE}\n{{%- endif -%}}\n{TAIL}"


LAST = _rendering_traces_if("m.reasoning_content and loop.last")
ALWAYS = _rendering_traces_if("m.reasoning_content")
SINCE = _rendering_traces_if(
    "loop.index0 > ns.last and m.reasoning_content",
    "{%- set ns = namespace(last=-1) -%}\n{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}\n",
)
SWITCH = _rendering_traces_if(
    "m.reasoning_content and (preserve_thinking or loop.last)",
    "{%- set preserve_thinking = preserve_thinking | default(false) -%}\n",
)
UNCONDITIONAL = HEAD + "{{- m.reasoning_content or '' -}}\n" + TAIL
WITHOUT = HEAD + TAIL
CUT = (
    HEAD
    + "{%- set content = m.content -%}\n{%- if m.role == 'assistant' and not loop.last -%}\n"
    + "{%- set content = m.content.split('</think>')[-1].lstrip('\\n') -%}\n{%- endif -%}\n"
    + TAIL.replace("m.content", "content")
)
EMPTY_BLOCKS = (
    HEAD
    + "{%- if m.role == 'assistant' and (loop.last or m.reasoning_content) -%}\n"
    + "{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' -}}\n{%- endif -%}\n"
    + TAIL
)

ASK = {"role": "user", "content": "Quince"}
SAY = {"role": "assistant", "content": "Apricot", "reasoning_content": "Papaya"}
MORE = {"role": "assistant", "content": "Almond", "reasoning_content": "Mango"}
BOTH = [ASK, SAY, {"role": "user", "content": "Fig"}, MORE]
LOOP = [ASK, SAY, {"role": "tool", "content": "Plum"}, MORE]


def _retained(source: str, policy: str, examples: int = 6) -> Template:
    return Template.from_source(source).retain(policy, examples=examples)


def _traces(template: Template, messages: list[dict[str, Any]], **options: Any) -> str:
    text = template.render(messages, **options).text
    return "".join(word[0] for word in ("Papaya", "Mango") if word in text)


def _changed(template: Template) -> list[str]:
    lines = template.proof.diff.splitlines()
    return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]


@pytest.mark.parametrize("source", [LAST, SINCE, ALWAYS, SWITCH], ids=["last", "since", "always", "switch"])
@pytest.mark.parametrize(
    ("policy", "both", "loop"),
    [("all", "PM", "PM"), ("since_last_user", "M", "PM"), ("last", "M", "M"), ("none", "", "")],
)
def test_a_policy_holds_whatever_the_template_did(source: str, policy: str, both: str, loop: str) -> None:
    made = _retained(source, policy)
    assert (_traces(made, BOTH), _traces(made, LOOP)) == (both, loop)
    assert made.proof.texts > 20


def test_a_policy_that_the_template_has_changes_nothing() -> None:
    made = _retained(LAST, "last")
    assert made.given.text == LAST
    assert made.proof.unchanged
    assert made.proof.diff == ""


def test_a_part_of_a_condition_is_left_out() -> None:
    assert _changed(_retained(LAST, "all")) == ["{%- if m.reasoning_content -%}"]


def test_a_constant_stands_where_nothing_is_left() -> None:
    assert _changed(_retained(ALWAYS, "none")) == ["{%- if false -%}"]


def test_the_default_of_a_switch_is_changed_rather_than_a_condition() -> None:
    made = _retained(SWITCH, "all")
    assert _changed(made) == ["{%- set preserve_thinking = preserve_thinking | default(true) -%}"]
    assert _traces(made, BOTH, preserve_thinking=False) == "M"


def test_what_counts_the_messages_after_the_question_stands_at_the_head() -> None:
    made = _retained(ALWAYS, "since_last_user")
    assert made.source.startswith("{% set retention = namespace(after_last_user=0) %}\n")
    assert _changed(made)[-1] == "{%- if m.reasoning_content and loop.revindex0 < retention.after_last_user -%}"


def test_under_all_empty_blocks_stay_too() -> None:
    made = _retained(EMPTY_BLOCKS, "all")
    bare = [{"role": "user", "content": "Quince"}, {"role": "assistant", "content": "Apricot"}]
    history = made.render([*bare, ASK]).text
    assert history.startswith(made.render(bare).text)
    assert "<think>\n\n</think>" in history
    assert made.proof.turns > 10


def test_a_trace_that_is_cut_out_of_the_content_stays() -> None:
    made = _retained(CUT, "all")
    content = "<think>\nPapaya\n</think>\n\nApricot"
    assert content in made.render([ASK, {"role": "assistant", "content": content}, ASK]).text


def test_comments_and_layout_are_kept() -> None:
    source = "{# Ours. #}\n\n" + LAST
    made = _retained(source, "all")
    assert made.source == source.replace(" and loop.last", "")


def test_crlf_newlines_are_kept() -> None:
    made = _retained(LAST.replace("\n", "\r\n"), "all")
    assert made.given.text.count("\r\n") == LAST.count("\n")


def test_a_template_that_renders_no_reasoning_is_refused_by_name() -> None:
    with pytest.raises(CannotRetain, match="it never renders reasoning, so there is no place for a policy"):
        _retained(WITHOUT, "all")


def test_what_no_condition_decides_is_refused_with_a_counterexample() -> None:
    with pytest.raises(CannotRetain, match="no change of up to three conditions") as caught:
        _retained(UNCONDITIONAL, "none")
    assert caught.value.conversation is not None
    assert caught.value.got != caught.value.expected


def test_a_template_that_renders_nothing_is_refused() -> None:
    with pytest.raises(CannotRetain, match="it does not even render a question"):
        _retained("{{ raise_exception('No.') }}", "all")


def test_a_prompt_that_has_closed_the_trace_is_refused() -> None:
    source = CUT.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n<think></think>'")
    with pytest.raises(CannotRetain, match="its prompt has closed the trace"):
        _retained(source, "all")


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(UsageError, match="there is no retention policy 'most'"):
        _retained(LAST, "most")


def test_a_family_only_gets_the_policy() -> None:
    made = Template.load("qwen3").retain("all")
    assert made.retention == "all"
    assert made.source == Template.load("qwen3").source


def test_the_result_is_the_same_each_time() -> None:
    assert _retained(SINCE, "last").source == _retained(SINCE, "last").source


@lru_cache
def _kept(policy: str) -> Template:
    return _retained(LAST, policy, 0)


_SETTINGS = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def _texts(conversation: dict[str, Any]) -> dict[str, Any]:
    messages = [{**message, "content": message.get("content") or ""} for message in conversation["messages"]]
    return {"messages": messages}


@_SETTINGS
@given(conversations(parts=False))
def test_under_all_each_conversation_begins_as_it_began(conversation: dict[str, Any]) -> None:
    messages = _texts(conversation)["messages"]
    texts = [_kept("all").render(messages[:count]).text for count in range(len(messages) + 1)]
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(texts))


@_SETTINGS
@given(conversations(parts=False))
def test_under_none_a_conversation_is_as_without_traces(conversation: dict[str, Any]) -> None:
    given = _texts(conversation)
    names = ("reasoning_content", "reasoning", "thinking")
    bare = [{key: value for key, value in message.items() if key not in names} for message in given["messages"]]
    assert _kept("none").render(given).text == Template.from_source(LAST).render(bare).text
