"""Completions: what a model sampled, back as the message that it means."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.errors import NotRepresentable, RenderError, UsageError
from support.goldens import UPSTREAM_FAMILIES, conversation_of, goldens, kwargs_of, render_row
from support.parsing import CLOCK, FAMILIES, as_sampled, differences

QUESTION = {"role": "user", "content": "Where is it warmer?"}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


PARSED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("hybrid", "<think>hm</think>Look.<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", {},
     {"reasoning_content": "hm", "content": "Look.", "tool_calls": [call("f", a=1)]}),
    ("hybrid", "<think></think><code>\n1 + 1\n</code>", {"python_tools": True},
     {"content": "", "tool_calls": [call("python", code="1 + 1")]}),
    ("hybrid", "<think></think><code>\n1 + 1\n</code>", {}, {"content": "<code>\n1 + 1\n</code>"}),
    ("qwen3", "<think>\nhm\n</think>\n\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("qwen3", "Oslo.", {"enable_thinking": False}, {"content": "Oslo."}),
    ("qwen3", '<think>\n\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a":1}}\n</tool_call>', {},
     {"content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]}),
    ("chatml", 'Two.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
     '<tool_call>\n{"name": "g", "arguments": {"b": [1.0]}}\n</tool_call>', {},
     {"content": "Two.", "tool_calls": [call("f"), call("g", b=[1.0])]}),
    ("smollm3", "<think>\nhm\n</think>\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("llama3", '{"name": "f", "parameters": {"a": 1}}', {}, {"content": "", "tool_calls": [call("f", a=1)]}),
    ("llama3", '<|python_tag|>brave_search.call(query="x", n="2")', {"builtin_tools": ["brave_search"]},
     {"content": "", "tool_calls": [call("brave_search", query="x", n="2")]}),
    ("gemma3", "[f(a=1)]", {}, {"content": "[f(a=1)]"}),
    ("deepseek_r1", "<think>\nhm\n</think>\n\nOslo.", {}, {"reasoning_content": "hm", "content": "Oslo."}),
    ("deepseek_r1", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", {}, {"content": "", "tool_calls": [call("f", a=1)]}),
    ("gpt_oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Oslo.", {},
     {"reasoning_content": "hm", "content": "Oslo."}),
    ("gpt_oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>Look.<|end|>"
     "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}", {},
     {"reasoning_content": "hm", "content": "Look.", "tool_calls": [call("f", a=1)]}),
    ("command_a_reasoning", "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Oslo.<|END_RESPONSE|>", {},
     {"reasoning_content": "hm", "content": "Oslo."}),
    ("command_a_reasoning", '<|START_ACTION|>[    {"tool_call_id": "3", "tool_name": "f", "parameters": {"a": 1}}]'
     "<|END_ACTION|>", {}, {"content": "", "tool_calls": [{"id": "3", **call("f", a=1)}]}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "text", "kwargs", "message"), PARSED, ids=lambda value: str(value)[:24])
def test_a_completion_is_the_message_that_it_means(
    family: str, text: str, kwargs: dict[str, Any], message: dict[str, Any]
) -> None:
    parsed = Template.load(family).parse(text, completion=True, **kwargs)
    assert parsed == Conversation(messages=[{"role": "assistant", **message}])


def completions(family: str) -> list[tuple[dict[str, Any], int, str, str]]:
    """The turns of the goldens: the row, the index of the message, its prompt's text and its own."""
    found = []
    for row in goldens(family):
        try:
            rendering = render_row(as_sampled(family), row, add_generation_prompt=False)
        except RenderError:
            continue
        for index, message in enumerate(row["messages"]):
            spans = [span for span in rendering.spans if span.generated and span.turn == index]
            contradicts = row["kwargs"].get("enable_thinking") is False and message.get("reasoning_content")
            if message["role"] == "assistant" and not contradicts:
                start, end = spans[0].start, spans[-1].end
                found.append((row, index, rendering.text[:start], rendering.text[start:end]))
    return found


@pytest.mark.parametrize("family", UPSTREAM_FAMILIES)
def test_each_turn_of_the_goldens_is_parsed_after_its_prompt(family: str) -> None:
    template = Template.load(family)
    exact = 0
    for row, index, before, text in completions(family):
        prompt = {**conversation_of(row), "messages": row["messages"][:index]}
        refusable = "</think>" in str(row["messages"][index]) and family == "qwen3"
        try:
            parsed = template.parse(text, completion=True, prompt=prompt, clock=CLOCK, **kwargs_of(row))
        except NotRepresentable:
            assert refusable, row["id"]
            continue
        again = as_sampled(family).render(parsed, clock=CLOCK, **kwargs_of(row))
        assert again.text.removeprefix(before).startswith(text), row["id"]
        given = Conversation.coerce({"messages": row["messages"][index : index + 1]})
        exact += not differences(Conversation(messages=parsed.messages[index:]), given)
    assert exact > 30


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stop", [True, False])
def test_the_generation_prompt_and_the_stop_token_may_be_there_or_not(family: str, stop: bool) -> None:
    template = as_sampled(family)
    message = {"role": "assistant", "content": "In Porto."}
    prompt = template.render([QUESTION], True, clock=CLOCK).text
    before = template.render([QUESTION], clock=CLOCK).text
    rendering = template.render([QUESTION, message], clock=CLOCK)
    ((start, end),) = rendering.generated
    assert template.family is not None
    stops = template.family.generation.stop_tokens
    length = 0 if stop else max(len(token) for token in stops if rendering.text[:end].endswith(token))
    text = rendering.text[start : end - length]
    for head in ("", prompt[len(before) :], prompt):
        parsed = template.parse(head + text, completion=True, prompt=[QUESTION], clock=CLOCK)
        assert [m.content for m in parsed.messages] == [QUESTION["content"], "In Porto."]
    with pytest.raises(NotRepresentable, match=r"where the template (writes|continues with)"):
        template.parse(text, completion=True, generation_prompt=True, clock=CLOCK)


@pytest.mark.parametrize("family", [name for name in FAMILIES if Template.load(name).program.has_reasoning])
def test_a_completion_keeps_its_trace_under_every_retention(family: str) -> None:
    message = {"role": "assistant", "content": "In Porto.", "reasoning_content": "hm"}
    rendering = as_sampled(family).render([QUESTION, message], clock=CLOCK)
    ((start, end),) = rendering.generated
    for retention in ("none", "last", "since_last_user", "all"):
        template = Template.load(family, retention=retention)
        parsed = template.parse(rendering.text[start:end], completion=True, clock=CLOCK)
        assert parsed.messages[0].reasoning_content == "hm"


def test_a_prompt_that_the_template_refuses_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="the prompt cannot be rendered"):
        Template.load("gemma3").parse("Hi", completion=True, prompt=[QUESTION, QUESTION])
    with pytest.raises(UsageError, match="the prompt cannot be rendered"):
        Template.load("gemma3").parse("Hi", completion=True, prompt=[{"role": "usr", "content": ""}])


def test_a_completion_of_several_turns_is_refused() -> None:
    with pytest.raises(NotRepresentable, match="after a stop token"):
        Template.load("chatml").parse("Hi<|im_end|>\n<|im_start|>user\nHo<|im_end|>\n", completion=True)
