"""Completions as models write them, where the template writes the turn otherwise: grammars composed of its forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_parse_derived import WHY

from chattmpl import Template
from chattmpl.errors import NotRepresentable
from chattmpl.parse.stream import joined

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
CALLS = (
    '{% for c in m.tool_calls or [] %}<tool_call>\n{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}"
)
START = "{% for m in messages %}<|{{ m.role }}|>"


def ended(prompt: str, end: str = "<|end|>") -> str:
    """The end of a template, with what its prompt supplies."""
    return end + "{% endfor %}{% if add_generation_prompt %}<|assistant|>" + prompt + "{% endif %}"


PYTHONIC = (
    "{% if m.tool_calls %}<|calls|>[{% for c in m.tool_calls %}{{ c.function.name }}("
    '{% for k, v in c.function.arguments.items() %}{{ k }}={{ "\'" ~ v ~ "\'" if v is string else v }}'
    "{{ ', ' if not loop.last }}{% endfor %}){{ ', ' if not loop.last }}{% endfor %}]<|calls_end|>{% endif %}"
)
TEMPLATES = {
    "always an empty trace": START
    + "{% if m.role == 'assistant' %}<think>\n{{ m.reasoning_content or '' }}\n</think>\n\n{% endif %}"
    + "{{ m.content }}" + CALLS + ended(""),
    "the trace is dropped": START + "{{ m.content }}" + CALLS + ended("{{ '<think>' if on else '<think></think>' }}"),
    "the trace stays in the content": "Think between <think> and </think>.{% for m in messages %}<|{{ m.role }}|>"
    "{{ m.content }}" + CALLS + ended(""),
    "calls before the content": START + CALLS + "{{ m.content }}" + ended(""),
    "no stop token": START + "{{ m.content }}" + CALLS + ended("", ""),
    "calls that the text describes": 'Call: <TOOLCALL>[{"name": "tool", "arguments": {}}]</TOOLCALL>'
    + START + "{{ m.content }}" + ended(""),
    "strings in single quotes": START + "{{ m.content }}" + PYTHONIC + ended(""),
    "two stop tokens": START + "{{ m.content }}<|end|>{{ eos_token }}" + ended("", ""),
    "a stop token of calls": START + "{{ m.content }}" + CALLS
    + "{% if m.tool_calls %}<|response|>{% elif m.role != 'tool' %}<|end|>{% endif %}" + ended("", ""),
    "instructions in brackets": "{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}",
}  # fmt: skip
"""Templates by the way in which they write turns."""

F = {"tool_calls": [("f", {"a": 1})]}
READ: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("always an empty trace", "Hi<|end|>", {}, {"content": "Hi"}),
    ("always an empty trace", CALL, {}, F),
    ("always an empty trace", "<think>hm</think>Hi", {}, {"reasoning_content": "hm", "content": "Hi"}),
    ("the trace is dropped", "hm</think>Hi<|end|>", {"on": True}, {"reasoning_content": "hm", "content": "Hi"}),
    ("the trace is dropped", f"hm\n</think>\n\n{CALL}", {"on": True}, {"reasoning_content": "hm", **F}),
    ("the trace is dropped", "Hi", {}, {"content": "Hi"}),
    ("the trace stays in the content", "<think>hm</think>Hi", {}, {"reasoning_content": "hm", "content": "Hi"}),
    ("the trace stays in the content", f"<think>hm</think>{CALL}", {}, {"reasoning_content": "hm", **F}),
    ("calls before the content", f"Let me.{CALL}<|end|>", {}, {"content": "Let me.", **F}),
    ("no stop token", "Hi<|user|>", {}, {"content": "Hi"}),
    ("no stop token", f"{CALL}<|tool|>", {}, F),
    (
        "calls that the text describes",
        '<TOOLCALL> [ {"name": "f", "arguments": {"a":1}} ]</TOOLCALL>',
        {},
        F,
    ),
    ("strings in single quotes", '<|calls|>[f(b="x")]<|calls_end|>', {}, {"tool_calls": [("f", {"b": "x"})]}),
    ("strings in single quotes", "<|calls|> [ f(b='x') ] <|calls_end|>", {}, {"tool_calls": [("f", {"b": "x"})]}),
    ("two stop tokens", "Hi<|end|>", {}, {"content": "Hi"}),
    ("two stop tokens", "Hi</s>", {}, {"content": "Hi"}),
    ("a stop token of calls", f"{CALL}<|response|>", {}, F),
    ("a stop token of calls", CALL, {}, F),
    ("no stop token", "Use <s>old</s> new <unk>.", {}, {"content": "Use <s>old</s> new <unk>."}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "kwargs", "expected"), READ)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_turn_is_read_as_the_model_continues_the_prompt(
    name: str, text: str, kwargs: dict[str, Any], expected: dict[str, Any], size: int
) -> None:
    template = Template.from_source(TEMPLATES[name])
    message = template.parse(text, completion=True, **kwargs).messages[0]
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert (message.reasoning_content or "", message.content, calls) == (
        expected.get("reasoning_content", ""),
        expected.get("content", ""),
        expected.get("tool_calls", []),
    )
    parser = template.parser(completion=True, **kwargs)
    for place in range(0, len(text), size):
        parser.feed(text[place : place + size])
    shown = joined(parser.deltas())
    assert len(shown) > 1, "something is shown before the end"
    assert parser.finish().messages == [message]


REFUSED = [
    ("always an empty trace", "hm</think>Hi", {}),
    ("always an empty trace", "<think>hm", {}),
    ("the trace is dropped", "hm", {"on": True}),
    ("the trace is dropped", "hm</think>Hi", {}),
    ("the trace stays in the content", "hm</think>Hi", {}),
    ("no stop token", "Hi<|user|>Ho", {}),
    ("no stop token", "Hi<|assistant|>", {}),
    ("no stop token", "Hi <|us", {}),
    ("no stop token", "Hi <tool_c", {}),
    ("calls that the text describes", "Hi <TOOLCALL>", {}),
    ("a stop token of calls", CALL[:-3], {}),
    ("instructions in brackets", "Hi [INST] more", {}),
]


@pytest.mark.parametrize(("name", "text", "kwargs"), REFUSED)
def test_what_is_cut_off_or_out_of_place_is_refused(name: str, text: str, kwargs: dict[str, Any]) -> None:
    template = Template.from_source(TEMPLATES[name])
    for exact in (False, True):
        with pytest.raises(NotRepresentable, match=rf"{WHY}|where the template"):
            template.parse(text, completion=True, exact=exact, **kwargs)


def test_exact_parsing_refuses_what_the_template_writes_otherwise() -> None:
    template = Template.from_source(TEMPLATES["always an empty trace"])
    with pytest.raises(NotRepresentable, match="where the template writes '<think>"):
        template.parse("Hi", completion=True, exact=True)


def test_compact_arguments_are_an_object() -> None:
    source = (
        START + "{{ m.content }}{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}[ARGS]"
        "{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}{% endfor %}"
    )
    template = Template.from_source(source + ended(""))
    message = template.parse('[TOOL_CALLS]f[ARGS]{"a":1}', completion=True).messages[0]
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"a": 1}


ANALYSIS = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
CALLED = '<|message|>{"a": 1}<|call|>'
HARMONY = [
    ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", "", "{}", []),
    ("<|channel|>final<|message|>Hi<|end|>", "", "Hi", []),
    (f"{ANALYSIS}<|channel|>commentary to=functions.f <|constrain|>json{CALLED}", "hm", "", F["tool_calls"]),
    (f"{ANALYSIS}<|channel|>commentary to=functions.f{CALLED}", "hm", "", F["tool_calls"]),
    (f"{ANALYSIS} to=functions.f<|channel|>commentary{CALLED}", "hm", "", F["tool_calls"]),
    (
        f"{ANALYSIS}<|channel|>commentary<|message|>Look.<|end|><|start|>assistant<|channel|>commentary to=functions.f"
        f" <|constrain|>json{CALLED}",
        "hm",
        "Look.",
        F["tool_calls"],
    ),
    (
        f"{ANALYSIS}<|channel|>analysis<|message|>ho<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
        "hm\n\nho",
        "Hi",
        [],
    ),
]


@pytest.mark.parametrize(("text", "reasoning", "content", "calls"), HARMONY)
def test_harmony_is_read_in_each_order(text: str, reasoning: str, content: str, calls: list[Any]) -> None:
    message = Template.load("gpt_oss").parse(text, completion=True).messages[0]
    made = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert (message.reasoning_content or "", message.content, made) == (reasoning, content, calls)
    parser = Template.load("gpt_oss").parser(completion=True)
    for letter in text:
        parser.feed(letter)
    assert len(joined(parser.deltas())) > 1
    assert parser.finish().messages == [message]


@pytest.mark.parametrize(
    "text",
    [ANALYSIS, f"{ANALYSIS}<|channel|>final<|message|>Hi<|end|>more", f"<|channel|>commentary to=functions.f{CALLED}x"],
)
def test_harmony_without_an_answer_or_with_more_after_it_is_refused(text: str) -> None:
    with pytest.raises(NotRepresentable, match="no complete call, and no answer"):
        Template.load("gpt_oss").parse(text, completion=True)


EXPLAINED = [
    ("the trace is dropped", "hm", {"on": True}, "the prompt opens a trace, which '</think>' does not close", "hm"),
    ("the trace is dropped", "hm</think>Hi", {}, "'</think>' closes a trace that the prompt does not open", "</think>"),
    (
        "the trace is dropped",
        "<think>hm</think>Hi",
        {},
        "'<think>' opens a trace, but the prompt has closed",
        "<think>",
    ),
    ("always an empty trace", "Hi<think>hm", {}, "'<think>' opens a trace that is not closed", "<think>"),
    ("always an empty trace", f"{CALL} then", {}, "text follows the tool calls", "then"),
    ("always an empty trace", CALL[:40], {}, "a tool call begins here, but is cut off", "<tool_call>"),
    ("always an empty trace", "a `<tool_call>` then <tool_call>x", {}, "a tool call begins here", "<tool_call>"),
    ("always an empty trace", "Hi<|end|>Ho", {}, "the text continues after the stop token", "<|end|>"),
    (
        "always an empty trace",
        "Hi<|eot_id|>Ho",
        {},
        "'<|eot_id|>' stands where the template writes no markup",
        "<|eot_id|>",
    ),
    ("always an empty trace", "Hi <|en", {}, "the text ends inside a control token or a tag", "<|en"),
]


@pytest.mark.parametrize(("name", "text", "kwargs", "why", "marked"), EXPLAINED)
def test_a_refusal_names_the_cause_and_its_place(
    name: str, text: str, kwargs: dict[str, Any], why: str, marked: str
) -> None:
    with pytest.raises(NotRepresentable, match=why.replace("|", r"\|")) as caught:
        Template.from_source(TEMPLATES[name]).parse(text, completion=True, **kwargs)
    place = caught.value.place
    assert place is not None
    assert text[place.start : place.end] == marked
    assert place.start == text.rfind(marked)


def test_a_refusal_names_the_kwarg_that_opens_the_trace() -> None:
    template = Template.from_source(TEMPLATES["the trace is dropped"])
    with pytest.raises(NotRepresentable, match="does not open") as caught:
        template.parse("hm</think>Hi", completion=True)
    assert caught.value.hint == "if the prompt was rendered with on=true, pass it"


def test_a_turn_of_the_history_is_no_answer_to_a_prompt_that_is_given() -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
    )
    template = Template.from_source(source)
    assert template.parse("Hi", completion=True).messages[0].content == "Hi"
    with pytest.raises(NotRepresentable, match="the prompt opens a trace"):
        template.parse("Hi", completion=True, prompt=[{"role": "user", "content": "?"}])


def test_the_generation_config_and_the_tokenizer_of_a_model_say_what_ends_a_turn_and_what_is_markup(
    tmp_path: Path,
) -> None:
    source = TEMPLATES["always an empty trace"]
    tokens = ["<|end|>", "<fin>", "<s>"]
    added = {str(number): {"content": token, "special": True} for number, token in enumerate(tokens)}
    config = {"chat_template": source, "added_tokens_decoder": added, "eos_token": "<|end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 1]}), encoding="utf-8")
    template = Template.load(tmp_path)
    assert template.parse("Hi<fin>", completion=True).messages[0].content == "Hi"
    with pytest.raises(NotRepresentable, match="'<s>' stands where the template writes no markup"):
        template.parse("Hi <s>old", completion=True)
    assert Template.from_source(source).parse("Hi <s>old", completion=True).messages[0].content == "Hi <s>old"


def test_text_after_calls_of_lfm2_is_read_also_where_the_template_writes_it_before_them() -> None:
    calls = (
        "{% if m.tool_calls %}<|tool_call_start|>[{% for c in m.tool_calls %}{{ c.function.name }}("
        "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }}{{ ', ' if not loop.last }}{% endfor %})"
        "{{ ', ' if not loop.last }}{% endfor %}]<|tool_call_end|>{% endif %}"
    )
    template = Template.from_source(START + "{{ m.content }}" + calls + ended(""))
    text = "<|tool_call_start|>[f(a=1)]<|tool_call_end|>Looking.<|end|>"
    message = template.parse(text, completion=True).messages[0]
    assert (message.content, [call.function.arguments for call in message.tool_calls or []]) == ("Looking.", [{"a": 1}])
    with pytest.raises(NotRepresentable, match="text follows the tool calls"):
        Template.from_source(START + "{{ m.content }}" + PYTHONIC + ended("")).parse(
            "<|calls|>[f(a=1)]<|calls_end|>Looking.<|end|>", completion=True
        )


def test_the_kwargs_of_a_prompt_count() -> None:
    prompt = "{{ '<think></think>' if off else '<think>' }}"
    template = Template.from_source(
        START
        + "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
        + ended(prompt)
    )
    asked = {"messages": [{"role": "user", "content": "?"}], "chat_template_kwargs": {"off": True}}
    assert template.parse("Hi<|end|>", completion=True, prompt=asked).messages[-1].content == "Hi"
    with pytest.raises(NotRepresentable, match="does not close"):
        template.parse("Hi<|end|>", completion=True, prompt=asked["messages"])
