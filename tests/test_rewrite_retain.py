"""Another retention policy for a template: which conditions are changed, and what is refused."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from chattmpl import Conversation, Template
from chattmpl.compiler.policies import POLICIES
from chattmpl.conversation.strategies import conversations
from chattmpl.errors import UsageError
from chattmpl.rewrite.proof import ProofNoteKind
from chattmpl.rewrite.refusal import CannotRetain, Refusal
from chattmpl.rewrite.result import Rewrite
from chattmpl.rewrite.retain.verifier import RetentionProof

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

TEXT_QUESTIONS = (
    "{%- set ns = namespace(last=messages|length) -%}\n{%- for m in messages -%}"
    "{%- if m.role == 'user' and m.content is string -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}\n"
    + EMPTY_BLOCKS.replace("loop.last or m.reasoning_content", "loop.index0 > ns.last").replace(
        "{{- m.content", "{{- (m.content if m.content is string else '')"
    )
)
"""Traces are rendered after the last question that is one text; in parts, the template finds none."""

ASK = {"role": "user", "content": "Quince"}
SAY = {"role": "assistant", "content": "Apricot", "reasoning_content": "Papaya"}
MORE = {"role": "assistant", "content": "Almond", "reasoning_content": "Mango"}
BOTH = [ASK, SAY, {"role": "user", "content": "Fig"}, MORE]
LOOP = [ASK, SAY, {"role": "tool", "content": "Plum"}, MORE]


def _rewritten(
    source: str, policy: str, examples: int = 6, *, strict: bool = False
) -> Rewrite[Template, RetentionProof]:
    return Template.from_source(source).retain(policy, examples=examples, strict=strict)


def _retained(source: str, policy: str, examples: int = 6) -> Template:
    return _rewritten(source, policy, examples).template


def _traces(template: Template, messages: list[dict[str, Any]], **options: Any) -> str:
    text = template.render(messages, **options).text
    return "".join(word[0] for word in ("Papaya", "Mango") if word in text)


def _changed(rewrite: Rewrite[Template, RetentionProof]) -> list[str]:
    lines = rewrite.proof.diff.splitlines()
    return [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]


@pytest.mark.parametrize("source", [LAST, SINCE, ALWAYS, SWITCH], ids=["last", "since", "always", "switch"])
@pytest.mark.parametrize(
    ("policy", "both", "loop"),
    [("all", "PM", "PM"), ("since_last_user", "M", "PM"), ("last", "M", "M"), ("none", "", "")],
)
def test_a_policy_holds_whatever_the_template_did(source: str, policy: str, both: str, loop: str) -> None:
    rewrite = _rewritten(source, policy)
    assert (_traces(rewrite.template, BOTH), _traces(rewrite.template, LOOP)) == (both, loop)
    assert rewrite.proof.texts > 20


def test_a_policy_that_the_template_has_changes_nothing() -> None:
    rewrite = _rewritten(LAST, "last")
    assert rewrite.template.given.text == LAST
    assert rewrite.proof.unchanged
    assert rewrite.proof.diff == ""


def test_a_part_of_a_condition_is_left_out() -> None:
    assert _changed(_rewritten(LAST, "all")) == ["{%- if m.reasoning_content -%}"]


def test_a_default_system_message_says_nothing_about_the_trace_of_an_answer_that_comes_first() -> None:
    source = (
        "{%- set ns = namespace(system=false) -%}{%- for m in messages -%}{%- if m.role == 'system' -%}"
        "{%- set ns.system = true -%}{%- endif -%}{%- endfor -%}\n"
        "{%- if not ns.system -%}{{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' -}}{%- endif -%}\n" + LAST
    )
    late = [SAY, {"role": "system", "content": "Quick"}, ASK]
    rewrite = _rewritten(source, "all", examples=60)
    assert _traces(rewrite.template, BOTH) == "PM"
    assert not rewrite.template.render(late).text.startswith(rewrite.template.render(late[:1]).text)


def test_what_a_policy_never_renders_is_removed() -> None:
    rewrite = _rewritten(ALWAYS, "none")
    assert _changed(rewrite) == []
    assert "reasoning_content" not in rewrite.template.source


def test_what_a_policy_always_renders_loses_its_condition_and_its_indent() -> None:
    source = """\
{%- for m in messages %}
    {{- '<|im_start|>' + m.role }}
    {%- if m.role == 'assistant' %}
        {%- if loop.index0 > messages | length - 3 %}
            {%- if loop.last or m.reasoning_content %}
                {{- '<think>' + (m.reasoning_content or '') + '</think>' + (m.content or '') }}
            {%- else %}
                {{- m.content or '' }}
            {%- endif %}
        {%- else %}
            {{- m.content or '' }}
        {%- endif %}
    {%- else %}
        {{- m.content or '' }}
    {%- endif %}
    {{- '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"""
    rewrite = _rewritten(source, "all")
    written = "{{- '<think>' + (m.reasoning_content or '') + '</think>' + (m.content or '') }}"
    assert _changed(rewrite) == [f"        {written}"]
    assert "true" not in rewrite.template.source


def test_a_content_that_is_no_longer_cut_is_not_assigned_to_itself() -> None:
    rewrite = _rewritten(CUT, "all")
    assert "set content = content" not in rewrite.template.source
    assert ".split(" not in rewrite.template.source


def test_the_default_of_a_switch_is_changed_rather_than_a_condition() -> None:
    rewrite = _rewritten(SWITCH, "all")
    assert _changed(rewrite) == ["{%- set preserve_thinking = preserve_thinking | default(true) -%}"]
    assert _traces(rewrite.template, BOTH, preserve_thinking=False) == "M"


def test_what_counts_the_messages_after_the_question_stands_at_the_head() -> None:
    rewrite = _rewritten(ALWAYS, "since_last_user")
    assert rewrite.template.source.startswith("{% set retention = namespace(after_last_user=0) %}\n")
    assert _changed(rewrite)[-1] == "{%- if m.reasoning_content and loop.revindex0 < retention.after_last_user -%}"


def test_a_question_that_the_template_does_not_find_is_one_for_the_policy() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "Quince"}]}
    assert _traces(Template.from_source(TEXT_QUESTIONS), [parts, SAY]) == ""
    rewrite = _rewritten(TEXT_QUESTIONS, "open_tool_loop", 0)
    assert _changed(rewrite)[-1] == "{%- if m.role == 'assistant' and loop.revindex0 < retention.after_last_answer -%}"
    assert _traces(rewrite.template, [parts, SAY]) == "P"
    assert _traces(rewrite.template, BOTH) == "M"
    assert _rewritten(TEXT_QUESTIONS, "since_last_user", 0).proof.unchanged


def test_a_trace_may_be_read_under_any_of_its_names() -> None:
    made = _retained(LAST.replace("m.reasoning_content", "m.reasoning"), "all")
    assert _traces(made, [{key.replace("_content", ""): value for key, value in one.items()} for one in BOTH]) == "PM"
    either = LAST.replace("m.reasoning_content", "text").replace(
        "{%- if text", "{%- set text = m.reasoning or m.reasoning_content -%}\n{%- if text"
    )
    assert TRACE not in _retained(either, "none").source


def test_under_all_empty_blocks_stay_too() -> None:
    rewrite = _rewritten(EMPTY_BLOCKS, "all")
    made = rewrite.template
    bare = [{"role": "user", "content": "Quince"}, {"role": "assistant", "content": "Apricot"}]
    history = made.render([*bare, ASK]).text
    assert history.startswith(made.render(bare).text)
    assert "<think>\n\n</think>" in history
    assert rewrite.proof.turns > 10


def test_a_trace_that_is_cut_out_of_the_content_stays() -> None:
    made = _retained(CUT, "all")
    content = "<think>\nPapaya\n</think>\n\nApricot"
    assert content in made.render([ASK, {"role": "assistant", "content": content}, ASK]).text


def test_a_cut_may_be_the_argument_of_a_macro() -> None:
    macro = "{%- macro stripped(text) -%}{{ text.lstrip('\\n') }}{%- endmacro -%}\n"
    cut = "m.content.split('</think>')[-1]"
    source = macro + CUT.replace(f"{cut}.lstrip('\\n')", f"stripped({cut})")
    assert f"stripped({cut})" in source
    content = "<think>\nPapaya\n</think>\n\nApricot"
    assert content in _retained(source, "all").render([ASK, {"role": "assistant", "content": content}, ASK]).text


def test_comments_and_layout_are_kept() -> None:
    source = "{# Ours. #}\n\n" + LAST
    made = _retained(source, "all")
    assert made.source == source.replace(" and loop.last", "")


def test_crlf_newlines_are_kept() -> None:
    made = _retained(LAST.replace("\n", "\r\n"), "all")
    assert made.given.text.count("\r\n") == LAST.count("\n")


def test_a_template_that_renders_no_reasoning_is_refused_by_name() -> None:
    with pytest.raises(CannotRetain, match="never renders reasoning, so there is no place for a retention") as caught:
        _retained(WITHOUT, "all")
    assert (caught.value.refusal, caught.value.policy) == (Refusal.NO_TRACES, "all")


def test_what_no_condition_decides_is_refused_with_a_counterexample() -> None:
    with pytest.raises(CannotRetain, match="no change of up to three conditions") as caught:
        _retained(UNCONDITIONAL, "none")
    assert caught.value.refusal is Refusal.NO_CHANGE
    found = caught.value.counterexample
    assert found is not None
    assert found.got != found.expected


def test_a_template_that_renders_nothing_is_refused() -> None:
    with pytest.raises(CannotRetain, match="the template cannot render a question"):
        _retained("{{ raise_exception('No.') }}", "all")


def test_a_prompt_that_has_closed_the_trace_is_refused() -> None:
    source = CUT.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n<think></think>'")
    with pytest.raises(CannotRetain, match="the generation prompt closes the trace") as caught:
        _retained(source, "all")
    assert caught.value.refusal is Refusal.TRACE_CLOSED


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(UsageError, match="there is no retention policy 'most'"):
        _retained(LAST, "most")


def test_a_family_only_gets_the_policy() -> None:
    made = Template.load("qwen3").retain("all").template
    assert made.retention == "all"
    assert made.source == Template.load("qwen3").source


def test_the_result_is_the_same_each_time() -> None:
    assert _retained(SINCE, "last").source == _retained(SINCE, "last").source


OPEN_PROMPT = "{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}"
WHOLE = "{%- for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>\\n' }}{% endfor %}" + OPEN_PROMPT
"""Contents are rendered as they are; only the generation prompt shows that a turn starts with a trace."""

AFTER_TOOLS = (
    "{%- for m in messages %}{%- if m.role == 'assistant' and loop.previtem and loop.previtem.role == 'tool' %}"
    "{{ '<|after|>' + m.content + '<|end|>' }}{%- elif m.role == 'assistant' %}"
    "{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' }}{%- else %}"
    "{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{%- endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|after|>' if messages[-1].role == 'tool' else '<|assistant|>' }}{% endif %}"
)
"""Traces are cut out of contents, except after the result of a tool."""

LAST_APART = (
    "{%- for m in messages %}{%- if m.role != 'assistant' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
    "{%- elif not loop.last %}{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if messages[-1].role == 'assistant' %}{{ '<|assistant|>' + messages[-1].content + '<|end|>' }}{% endif %}"
    + OPEN_PROMPT
)
"""The last message is rendered after the loop over messages."""

QUESTION: dict[str, Any] = {"role": "user", "content": "What is </think> for?"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "<think>\nPapaya\n</think>\n\nApricot"}
SECOND: dict[str, Any] = {"role": "assistant", "content": "<think>\nMango\n</think>\n\nAlmond"}
RESULT: dict[str, Any] = {"role": "tool", "content": "Plum"}
TWO, TOOL_LOOP = [QUESTION, ANSWER, QUESTION, SECOND], [QUESTION, ANSWER, RESULT, SECOND]


def _traces_in_contents(template: Template, messages: list[dict[str, Any]]) -> str:
    text = template.render(messages).text
    assert text.count("What is </think> for?") == messages.count(QUESTION)
    assert "Apricot" in text
    assert "Almond" in text
    return "".join(word[0] for word in ("Papaya", "Mango") if word in text)


@pytest.mark.parametrize("source", [WHOLE, AFTER_TOOLS], ids=["whole", "after tools"])
@pytest.mark.parametrize(
    ("policy", "two", "loop"), [("since_last_user", "M", "PM"), ("last", "M", "M"), ("none", "", "")]
)
def test_a_trace_is_cut_out_of_the_content_where_the_policy_drops_it(
    source: str, policy: str, two: str, loop: str
) -> None:
    made = _retained(source, policy)
    assert (_traces_in_contents(made, TWO), _traces_in_contents(made, TOOL_LOOP)) == (two, loop)


def test_the_trace_of_a_last_message_that_is_rendered_behind_the_loop_counts_as_well() -> None:
    assert _rewritten(LAST_APART, "last").proof.unchanged
    with pytest.raises(CannotRetain, match="no change of up to three conditions"):
        _retained(LAST_APART, "none")


def test_contents_that_are_rendered_whole_are_all_kept_already() -> None:
    rewrite = _rewritten(WHOLE, "all")
    assert rewrite.proof.unchanged
    assert _traces_in_contents(rewrite.template, TWO) == "PM"


def test_the_contents_of_others_are_left_alone() -> None:
    made = _retained(WHOLE, "none")
    assert "m.role == 'assistant' and m.content is string" in made.source


def test_without_a_format_for_traces_it_is_refused_by_name() -> None:
    with pytest.raises(CannotRetain, match="never renders reasoning, so there is no place for a retention policy"):
        _retained(WHOLE.replace("<think>\\n", ""), "none")


def test_a_content_that_is_no_text_is_rendered_as_before() -> None:
    source = WHOLE.replace("+ m.content +", "~ m.content ~")
    parts = [{"type": "text", "text": "</think>"}]
    messages = [QUESTION, {"role": "assistant", "content": parts}]
    assert _retained(source, "none").render(messages).text == Template.from_source(source).render(messages).text


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
    made = _retained(WITHIN, "all")
    assert made.source == WITHIN.replace(" and loop.last", "")
    text = made.render(TALK).text
    assert "<t>Papaya</t><c>count</c><r>count:Seven</r>Plan" in text


def test_a_law_that_fails_for_another_reason_is_a_note_and_strict_refuses_it() -> None:
    proof = _rewritten(WITHIN, "all").proof
    assert proof.has_note(ProofNoteKind.LAW_BROKEN)
    assert list(proof.broken) == ["prefix"]
    with pytest.raises(CannotRetain, match="the law prefix does not hold, for a reason other than traces") as caught:
        _rewritten(WITHIN, "all", strict=True)
    assert caught.value.refusal is Refusal.LAW_BROKEN


def test_a_tokenizer_is_rewritten_as_a_file_is() -> None:
    class Tokenizer:
        chat_template = LAST
        special_tokens_map = {"eos_token": "<|im_end|>"}  # noqa: RUF012
        name_or_path = "some/model"

    rewrite = Template.load(Tokenizer()).retain("all", examples=0)
    assert rewrite.template.source == ALWAYS
    assert rewrite.template.tokens == {"eos_token": "<|im_end|>"}
    assert rewrite.proof.policy == "all"


def test_a_rewritten_template_is_still_a_part_of_its_model_directory(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(LAST, encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}', encoding="utf-8")
    made = Template.load(tmp_path).retain("all", examples=0).template
    assert made.source == ALWAYS
    assert made.resolved.path == tmp_path / "chat_template.jinja"
    assert made.resolved.directory is not None
    assert made.tokens == {"eos_token": "<|im_end|>"}


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


def _with_calls(source: str) -> str:
    """Return a source that renders tool calls as well."""
    return source.replace("{{- m.content + ", "{{- m.content + (m.tool_calls | tojson if m.tool_calls else '') + ")


def test_a_switch_that_keeps_the_traces_of_calls_still_works() -> None:
    gate = "{%- set gate = loop.last or (preserve_thinking and m.tool_calls) -%}\n"
    source = _with_calls(_rendering_traces_if("m.reasoning_content and gate").replace(HEAD, HEAD + gate))
    made = _retained(source, "none")
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {}}}
    messages: list[dict[str, Any]] = [
        ASK,
        {**SAY, "tool_calls": [call]},
        {"role": "tool", "content": "Plum", "tool_call_id": "c1"},
        MORE,
    ]
    assert (_traces(made, messages), _traces(made, messages, preserve_thinking=True)) == ("", "P")


# Its condition has no word that a position has, so that a policy is joined to it rather than put in its place.
COUNTED = _rendering_traces_if(
    "i > ns.asked and m.reasoning_content",
    "{%- set ns = namespace(asked=-1) -%}\n{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{%- set ns.asked = loop.index0 -%}{%- endif -%}{%- endfor -%}\n",
).replace(HEAD, HEAD + "{%- set i = loop.index0 -%}\n")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("source", [COUNTED, ALWAYS], ids=["since_last_user", "all"])
def test_a_question_that_interrupts_a_tool_loop_is_treated_as_the_policy_says(source: str, policy: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {}}}
    loop = [ASK, {**SAY, "tool_calls": [call]}, {"role": "tool", "content": "Plum", "tool_call_id": "c1"}]
    conversation = Conversation.coerce([*loop, {"role": "user", "content": "Fig"}])
    template = _retained(_with_calls(source), policy, examples=0)
    kept = POLICIES[policy].keeps(conversation, True)
    assert ("Papaya" in template.render(conversation, True).text) is (1 in kept)
