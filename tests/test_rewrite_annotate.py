"""Annotation of small templates, one for each situation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import check
from chattmpl.laws.law import laws_named
from chattmpl.lint.runner import lint
from chattmpl.probing import facts_of
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.report.rewrite import refusal_text
from chattmpl.rewrite.annotate.target_spans import Obstacle
from chattmpl.rewrite.annotate.verifier import AnnotationProof
from chattmpl.rewrite.proof import ProofNoteKind, no_longer_fails
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.rewrite.result import Rewrite
from support.snapshots import matches_snapshot

_EXAMPLES = 12
_TURN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
_PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
    " + '\\n' }}{% endfor %}" + _PROMPT
)
BRANCHES = """\
{#- A comment that stays. #}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- set text = m.content %}
        {{- text }}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
RAW = """\
{% for m in messages %}
<|{{ m.role }}|>
{{ m.content }}<|end|>
{% endfor %}
{% if add_generation_prompt %}
<|assistant|>
{% endif %}
"""
CARRIED = (
    "{% for m in messages %}{% set content = '<|' + m.role + '|>' + m.content | trim + '<|end|>\\n' %}"
    "{% if loop.first %}{% set content = '<s>' + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CHOSEN = (
    "{% for m in messages %}{{ '<|user|>' + m.content + '<|end|>' if m.role == 'user' else '<|assistant|>' + m.content"
    " + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
PARTS = """\
{%- for m in messages %}
    {{- '<|' + m.role + '|>' }}
    {%- for part in m.content %}
        {{- part.text }}
    {%- endfor %}
    {{- '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""
TOOLS = "{% for tool in tools %}{{ tool | tojson }}{% endfor %}" + CHATML
ECHO = """\
{%- for m in messages %}
    {%- if m.role == 'tool' %}
        {{- '<|tool|>' + messages[loop.index0 - 1].tool_calls[0].function.name + ': ' + m.content + '<|end|>' }}
    {%- else %}
        {{- '<|' + m.role + '|>' + (m.content or '') }}
        {%- for call in m.tool_calls or [] %}
            {{- '<call>' + call.function.name + '</call>' }}
        {%- endfor %}
        {{- '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

OPENED = """\
{{- "<|think|>" if enable_thinking }}
{%- for m in messages %}
    {%- if m.role == 'assistant' and m.reasoning_content %}
        {{- '<|assistant|>' if messages[loop.index0 - 1].role != 'tool' }}
        {{- '<think>' + m.reasoning_content + '</think>' + m.content + '<|end|>' }}
    {%- elif m.role == 'assistant' %}
        {{- '<|assistant|>' if messages[loop.index0 - 1].role != 'tool' }}
        {{- m.content + '<|end|>' }}
    {%- else %}
        {{- '<|' + m.role + '|>' + m.content + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt and messages[-1].role != 'tool' %}{{ '<|assistant|>' }}
{%- elif add_generation_prompt and enable_thinking %}{{ '<think>' }}{% endif %}"""
"""After the result of a tool, the prompt opens the trace if the model is to think."""

GOOD = {
    "one_line": CHATML,
    "branches": BRANCHES,
    "raw_text": RAW,
    "carried": CARRIED,
    "chosen": CHOSEN,
    "parts": PARTS,
    "tools": TOOLS,
    "echo": ECHO,
    "opened": OPENED,
}

MACRO = """\
{%- macro turn(message, sep) -%}
    {{- '<|' + message.role + sep + (turn(message.of, sep) if message.of else message.content) + '<|end|>' + sep -}}
{%- endmacro -%}
{%- set ns = namespace(sep='|>\\n') -%}
{%- for m in messages %}{{ turn(m, ns.sep) }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant' + ns.sep }}{% endif %}"""
COLLECTED = (
    "{% set ns = namespace(out='') %}{% for m in messages %}"
    "{% set ns.out = ns.out + '<|' + m.role + '|>' + m.content + '<|end|>' %}{% endfor %}"
    "{% set ns.out = ns.out | trim %}{{ ns.out }}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
BAD = {
    "no_stop": "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    "no_prompt": CHATML.removesuffix(_PROMPT) + "{% if add_generation_prompt %}{{ '<|im_start|>bot\\n' }}{% endif %}",
    "rewritten": "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' and loop.last %}"
    "{{ '<think></think>' }}{% endif %}{{ m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    "raises": "{{ raise_exception('not today') }}",
    "answers_dropped": "{% for m in messages if m.role == 'user' %}{{ m.content + '<|end|>' }}{% endfor %}",
    "macro": MACRO,
    "collected": COLLECTED,
}


LATE = """\
[gMASK]<sop>
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '<|user|>\\n' + m.content }}
    {%- elif m.role == 'tool' %}
        {{- '<|observation|>\\n' + m.content }}
    {%- else %}
        {{- '<|assistant|>\\n' + (m.content or '') }}
        {%- for call in m.tool_calls or [] %}
            {{- '<call>' + call.function.name + (call.function.arguments | tojson) + '</call>' }}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""
"""A template without stop tokens: the model stops by sampling the role of the next turn."""

FORGETFUL = """\
{%- for m in messages %}
    {%- if m.role == 'assistant' and loop.last %}
        {{- '<|assistant|>\\n<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' + (m.content or '') }}
        {%- for call in m.tool_calls or [] %}
            {{- '<call>' + call.function.name + '</call>' }}
            {%- for name in call.function.arguments %}
                {{- '<argument>' + name + '</argument>' }}
            {%- endfor %}
        {%- endfor %}
        {{- '<|end|>\\n' }}
    {%- else %}
        {{- '<|' + m.role + '|>\\n' + (m.content or '') + '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
"""A template that writes an empty trace in the last turn, and none in history."""

_AGAIN = [*_TURN, {"role": "user", "content": "More"}, {"role": "assistant", "content": "Yes"}]


def _rewritten(source: str, **options: Any) -> Rewrite[Template, AnnotationProof]:
    return Template.from_source(source, name="small.jinja").annotate(examples=_EXAMPLES, **options)


def _annotated(source: str, **options: Any) -> Template:
    return _rewritten(source, **options).template


def _generated(template: Template, messages: object = _TURN) -> list[str]:
    rendering = template.render(messages)
    return [rendering.text[start:end] for start, end in rendering.generated]


@pytest.mark.parametrize("name", GOOD)
def test_a_template_gets_tags_and_its_laws_hold_on_conversations_that_were_not_tried(name: str) -> None:
    before = Template.from_source(GOOD[name])
    rewrite = _rewritten(GOOD[name])
    after = rewrite.template
    shape = facts_of(before).shape
    conversations = [*shipped_conversations(), *generated_conversations(40, shape)]
    for conversation in conversations:
        for prompt in (False, True):
            assert _outcome(after, conversation, prompt) == _outcome(before, conversation, prompt)
    named = {exemption.law for exemption in rewrite.proof.exceptions}
    report = check(after, laws_named(["sampled", "stop", "pure"]), conversations)
    assert {finding.shown.law for finding in report.findings} <= named
    assert all(verdict.holds for verdict in report.verdicts)


def test_what_a_prompt_opens_after_the_result_of_a_tool_is_not_generated() -> None:
    made = _annotated(OPENED)
    thought = {"role": "assistant", "content": "Apricot", "reasoning_content": "Papaya"}
    messages = [_TURN[0], {"role": "assistant", "content": "Plan"}, {"role": "tool", "content": "Plum"}, thought]
    for enabled, start in ((True, ""), (False, "<think>")):
        rendering = made.render(messages, enable_thinking=enabled)
        generated = "".join(rendering.text[start:end] for start, end in rendering.generated)
        assert generated == f"Plan<|end|>{start}Papaya</think>Apricot<|end|>"


def test_a_trace_that_is_read_under_another_name_is_generated() -> None:
    source = OPENED.replace("reasoning_content", "reasoning")
    made = _annotated(source)
    rendering = made.render([_TURN[0], {"role": "assistant", "content": "Apricot", "reasoning": "Papaya"}])
    generated = "".join(rendering.text[start:end] for start, end in rendering.generated)
    assert generated == "<think>Papaya</think>Apricot<|end|>"


def test_the_role_of_the_next_turn_is_generated_where_it_ends_a_turn() -> None:
    rewrite = _rewritten(LATE)
    made = rewrite.template
    text = "".join(_generated(made, _AGAIN))
    assert text == "Yo<|user|>Yes"
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    assert (
        "".join(_generated(made, [_TURN[0], called, {"role": "tool", "content": "1"}]))
        == "<call>f{}</call><|observation|>"
    )
    assert rewrite.proof.stops == ("<|user|>", "<|observation|>")
    assert rewrite.proof.has_note(ProofNoteKind.NEXT_TURN_STOP)
    obstacles = {one.obstacle for one in rewrite.proof.exceptions if one.law == "stop"}
    assert Obstacle.NO_LAST_STOP in obstacles
    assert all(verdict.holds for verdict in check(made, laws_named(["stop"]), [Conversation.coerce(_AGAIN)]).verdicts)
    assert "CT114" not in {finding.code for finding in lint(made.resolved)}
    bare = made.source.replace("{{- '<|user|>' }}", "", 1)
    spoilt = Template.from_source(re.sub(r"\{%- if loop.previtem is defined and .*?%\}", "{%- if false %}", bare))
    (found,) = check(spoilt, laws_named(["stop"]), [Conversation.coerce(_AGAIN)]).findings
    assert found.shown.kind == "next-turn-untrained"


def test_only_the_last_turn_is_generated_for_trainers_that_unroll() -> None:
    with pytest.raises(CannotAnnotate, match="in history it is not rendered as it was sampled") as caught:
        _annotated(FORGETFUL)
    assert "--for last-turn" in (caught.value.hint or "")
    made = _annotated(FORGETFUL, for_="last-turn")
    assert "".join(_generated(made, _TURN)) == "<think>\n\n</think>\n\nYo<|end|>"
    assert "".join(_generated(made, _AGAIN)) == "<think>\n\n</think>\n\nYes<|end|>"
    assert not _generated(made, _AGAIN[:3])
    rendering = made.render(_TURN, enable_thinking=False)
    assert [rendering.text[start:end] for start, end in rendering.generated] == ["Yo<|end|>"]
    for messages in (_TURN, _AGAIN):
        prompt = made.render(messages[:-1], True).text
        whole = made.render(messages)
        assert whole.generated[0][0] == len(prompt)
        assert whole.text.startswith(prompt)


def test_answers_that_cannot_follow_the_prompt_are_exceptions_if_others_can() -> None:
    source = FORGETFUL.replace(" and loop.last", " and m.reasoning_content").replace(
        "{{- '<|assistant|>\\n' }}\n", "{{- '<|assistant|>\\n<think>\\n' }}\n", 1
    )
    rewrite = _rewritten(source)
    assert rewrite.proof.has_note(ProofNoteKind.SOME_ANSWERS)
    thought = [_TURN[0], {**_TURN[1], "reasoning_content": "Hm"}]
    assert "".join(_generated(rewrite.template, thought)) == "Hm\n</think>\n\nYo<|end|>"
    assert Obstacle.PROMPT_DIFFERS in {one.obstacle for one in rewrite.proof.exceptions}


def test_what_the_prompt_opens_is_cut_off_a_value_that_begins_with_it() -> None:
    source = """\
{%- for m in messages %}
    {%- set text = m.content %}
    {%- if m.role == 'assistant' and m.reasoning_content %}
        {%- set text = '<think>\\n' + m.reasoning_content + '\\n</think>\\n' + m.content %}
    {%- endif %}
    {{- '<|' + m.role + '|>' ~ (text | trim) ~ '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}"""
    made = _annotated(source)
    thought = [_TURN[0], {**_TURN[1], "reasoning_content": "Hm"}]
    assert "".join(_generated(made, thought)) == "Hm\n</think>\nYo<|end|>"
    assert made.source.count("endgeneration") == 1
    report = check(made, laws_named(["sampled", "stop", "pure"]), [Conversation.coerce(thought)])
    assert all(verdict.holds for verdict in report.verdicts)


def test_tags_are_few_and_no_condition_is_repeated_on_a_line() -> None:
    most = {"late": 4, "forgetful": 3, "opened": 4}
    sources = {"late": LATE, "forgetful": FORGETFUL, "opened": OPENED}
    for name, source in sources.items():
        made = _annotated(source, for_="last-turn" if name == "forgetful" else "all-turns").source
        assert made.count("endgeneration") <= most[name], made
        for line in made.splitlines():
            assert line.count("{% if") + line.count("{%- if") <= 1, line


def _outcome(template: Template, conversation: object, prompt: bool) -> str | None:
    try:
        return template.render(conversation, prompt, CLOCK).text
    except ChatTmplError:
        return None


def test_the_changes_read_as_a_person_would_have_made_them() -> None:
    shown = []
    for name, source in GOOD.items():
        shown.append(f"== {name}\n{_rewritten(source).proof.diff}")
    matches_snapshot("annotate_diffs.txt", "\n".join(shown))


def test_a_refusal_has_its_cause_as_data_and_shows_it() -> None:
    causes = {
        "no_stop": (Refusal.NO_STOP_TOKEN, "stop"),
        "no_prompt": (Refusal.LAW_IMPOSSIBLE, "sampled"),
        "rewritten": (Refusal.LAW_IMPOSSIBLE, "sampled"),
        "raises": (Refusal.NOT_RENDERED, None),
        "answers_dropped": (Refusal.ANSWER_DROPPED, "sampled"),
        "macro": (Refusal.SHARED_MACRO, None),
        "collected": (Refusal.ACCUMULATED, None),
    }
    assert causes.keys() == BAD.keys()
    shown = []
    for name, source in BAD.items():
        with pytest.raises(CannotAnnotate, match=r".") as caught:
            _annotated(source)
        assert (caught.value.refusal, caught.value.law) == causes[name]
        shown.append(f"== {name}\n{refusal_text(caught.value, 'small.jinja')}\n")
    matches_snapshot("annotate_refusals.txt", "\n".join(shown))


def test_a_stop_token_of_no_known_form_can_be_named() -> None:
    source = CHATML.replace("<|im_end|>", "~~~")
    with pytest.raises(CannotAnnotate, match="no stop token"):
        _annotated(source)
    assert _generated(_annotated(source, stop_tokens=("~~~",))) == ["Yo~~~"]


def test_the_newline_after_the_stop_token_is_not_generated() -> None:
    assert _generated(_annotated(CHATML)) == ["Yo<|im_end|>"]


def test_comments_and_layout_stay() -> None:
    made_ = _annotated(BRANCHES)
    assert re.sub(r"[ \n]*\{%-? generation -?%\}|[ \n]*\{%-? endgeneration -?%\}", "", made_.source).count("{#-") == 1
    assert [line for line in BRANCHES.splitlines() if line not in made_.source.splitlines()] == [
        "        {{- '<|im_end|>\\n' }}"
    ]


def test_windows_newlines_stay() -> None:
    source = BRANCHES.replace("\n", "\r\n")
    given = _annotated(source).given.text
    assert "\n" not in given.replace("\r\n", "")
    assert "generation" in given


def test_what_joining_refuses_is_refused_as_before() -> None:
    source = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + ('<|end|>' if m.role == 'user' else '') }}"
        "{% if m.role == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    after = _annotated(source)
    nothing = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None}]
    for template in (Template.from_source(source), after):
        with pytest.raises(ChatTmplError, match=r"has no attribute .content."):
            template.render(nothing)


def test_valid_tags_are_left_as_they_are() -> None:
    once = _annotated(CHATML)
    twice = once.annotate(examples=_EXAMPLES)
    assert twice.template.source == once.source
    assert twice.proof.notes[0].kind is ProofNoteKind.UNCHANGED
    assert twice.proof.diff == ""


WRONG = {
    "header": "{% generation %}{{ '<|a|>' }}{{ m.content + '<|end|>' }}{% endgeneration %}{{ '\\n' }}",
    "newline": "{{ '<|a|>' }}{% generation %}{{ m.content + '<|end|>' }}{{ '\\n' }}{% endgeneration %}",
    "no stop": "{{ '<|a|>' }}{% generation %}{{ m.content }}{% endgeneration %}{{ '<|end|>\\n' }}",
}


@pytest.mark.parametrize("name", WRONG)
def test_tags_that_are_wrong_are_refused_and_repaired_when_asked(name: str) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}" + WRONG[name] + "{% else %}"
        "{{ '<|u|>' + m.content + '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|a|>' }}{% endif %}"
    )
    with pytest.raises(CannotAnnotate, match="the generation tags of the template are wrong") as caught:
        _annotated(source)
    assert caught.value.refusal is Refusal.INVALID_TAGS
    assert caught.value.hint is not None
    assert "--repair" in caught.value.hint
    repaired = _annotated(source, repair=True)
    assert _generated(repaired) == ["Yo<|end|>"]
    assert repaired.render(_TURN).text == Template.from_source(source).render(_TURN).text


def test_repairing_leaves_tags_that_are_right() -> None:
    right = "{%  generation  %}{{ m.content + '<|end|>' }}{%  endgeneration  %}"
    source = (
        "{% for m in messages %}\n{% if m.role == 'assistant' and m.tool_calls %}\n<|a|>\n" + right + "\n"
        "{% elif m.role == 'assistant' %}\n{% generation %}<|a|>\n{{ m.content + '<|end|>' }}{% endgeneration %}\n"
        "{% else %}\n{{ '<|u|>' + m.content }}\n{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\n<|a|>\n"
        "{% endif %}\n"
    )
    repaired = _annotated(source, repair=True)
    assert right in repaired.source
    assert _generated(repaired) == ["Yo<|end|>"]


def test_reasoning_tags_stay_when_generation_tags_are_placed() -> None:
    source = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% reasoning %}{% if m.reasoning_content %}"
        "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{% endreasoning %}"
        "{{ m.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    made_ = _annotated(source)
    assert "{% reasoning %}" in made_.source
    answer = {"role": "assistant", "content": "Yo", "reasoning_content": "Hm"}
    assert _generated(made_, [_TURN[0], answer]) == ["<think>Hm</think>Yo<|end|>"]


def test_a_law_that_cannot_hold_for_some_is_named_and_strict_refuses_it() -> None:
    source = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.reasoning_content and loop.last %}"
        "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    proof = _rewritten(source).proof
    assert [(one.law, one.obstacle) for one in proof.exceptions] == [("sampled", Obstacle.HISTORY_DIFFERS)]
    assert any(message.reasoning_content for message in proof.exceptions[0].conversation.messages)
    with pytest.raises(CannotAnnotate, match="the law sampled cannot hold for some conversations") as caught:
        _annotated(source, strict=True)
    assert (caught.value.refusal, caught.value.law) == (Refusal.LAW_EXEMPTED, "sampled")


def test_what_no_conversation_reached_is_named_with_its_line() -> None:
    source = BRANCHES.replace(
        "        {{- text }}\n",
        "        {%- if m.mood == 'sad' %}\n        {{- ':(' }}\n        {%- endif %}\n        {{- text }}\n",
    )
    proof = _rewritten(source).proof
    assert [note.text for note in proof.notes if note.kind is ProofNoteKind.UNREACHED] == [
        "no conversation reached line 7, assumed to be not generated: check by hand"
    ]


def test_a_tokenizer_is_annotated_as_a_file_is() -> None:
    class Tokenizer:
        chat_template = CHATML
        special_tokens_map = {"eos_token": "<|im_end|>"}  # noqa: RUF012
        name_or_path = "some/model"

    assert _generated(Template.load(Tokenizer()).annotate(examples=0).template) == ["Yo<|im_end|>"]


def test_a_template_keeps_its_tokens(tmp_path: Path) -> None:
    source = CHATML.replace("'<|im_end|>'", "eos_token")
    after = Template.from_source(source, tokens={"eos_token": "</s>"}).annotate(examples=0).template
    assert after.tokens == {"eos_token": "</s>"}
    assert _generated(after) == ["Yo</s>"]


_HEADERS = ("'<|' + m.role + '|>'", "'<|' ~ m.role ~ '|>\\n'", "'<|im_start|>' + m['role'] + '\\n'")
_CONTENTS = ("m.content", "m['content'] | trim", "(m.content if m.content is string else '')", "m.content + ''")
_STOPS = ("'<|end|>'", "'<|end|>\\n'", "'<|end|>' + '\\n'", "'<|end|>\\n\\n'")
_JOINTS = (" + ", " }}{{ ", " -}}\n{{- ")


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(_HEADERS),
    st.sampled_from(_CONTENTS),
    st.sampled_from(_STOPS),
    st.sampled_from(_JOINTS),
    st.sampled_from(_JOINTS),
    st.booleans(),
    st.sampled_from(["", "\n", "\n    "]),
)
def test_no_text_changes_and_no_law_breaks_whatever_the_pieces(
    header: str, content: str, stop: str, first: str, second: str, apart: bool, space: str
) -> None:
    turn = "{{ " + header + first + content + second + stop + " }}"
    if apart:
        turn = f"{{% if m.role == 'assistant' %}}{space}{turn}{space}{{% else %}}{turn}{{% endif %}}"
    opening = re.sub(r"m\.role|m\['role'\]", "'assistant'", header)
    source = (
        f"{{% for m in messages %}}{space}{turn}{{% endfor %}}{{% if add_generation_prompt %}}"
        f"{{{{ {opening} }}}}{{% endif %}}"
    )
    before = Template.from_source(source)
    try:
        after = before.annotate(examples=4).template
    except CannotAnnotate:
        return
    for conversation in generated_conversations(20):
        expected = _outcome(before, conversation, False)
        if _outcome(after, conversation, False) != expected:
            assert expected is None
            assert no_longer_fails(before, after.render(conversation), {}, False)
    plain = [conversation for conversation in shipped_conversations() if len(conversation.messages) > 1]
    for verdict in check(after, laws_named(["sampled", "stop", "pure"]), plain).verdicts:
        assert verdict.broken == []


_TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Bye"}]
_ASSISTANT_PROMPT = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"

INLINED = (
    "{%- macro turn(message, end='<|end|>') -%}\n    {{- '<|' + message.role + '|>' + message.content + end -}}\n"
    "{%- endmacro -%}\n{%- for m in messages -%}{{- turn(m) -}}{%- endfor -%}" + _ASSISTANT_PROMPT
)
NESTED = (
    "{%- macro said(text) -%}{{- text + '<|end|>' -}}{%- endmacro -%}\n"
    "{%- macro turn(message) -%}{{- '<|' + message.role + '|>' -}}{{- said(message.content) -}}{%- endmacro -%}\n"
    "{%- for message in messages -%}{{- turn(message={'role': message.role, 'content': message.content}) -}}\n"
    "{%- endfor -%}" + _ASSISTANT_PROMPT
)
SHADOWED = (
    "{%- macro turn(m) -%}{{- '<|' + m.role + '|>' + m.text + end.mark -}}{%- endmacro -%}\n"
    "{%- set end = namespace(mark='<|end|>\\n') -%}\n"
    "{%- for m in messages -%}{{- turn({'role': m.role, 'text': m.content}) -}}{%- endfor -%}" + _ASSISTANT_PROMPT
)
ACCUMULATED = (
    "{%- set ns = namespace(out='') -%}\n{%- for m in messages -%}\n"
    "{%- set ns.out = ns.out ~ '<|' ~ m.role ~ '|>' -%}\n{%- set ns.out = ns.out + m.content + '<|end|>' -%}\n"
    "{%- endfor -%}\n{%- if add_generation_prompt -%}{%- set ns.out = ns.out ~ '<|assistant|>' -%}{%- endif -%}\n"
    "{{- ns.out -}}"
)
ASKED = ACCUMULATED.replace(
    "{%- set ns.out = ns.out ~ '<|' ~", "{%- if ns.out %}{{ '' }}{%- endif -%}{%- set ns.out = ns.out ~ '<|' ~"
)
REWRITTEN = {"macro": INLINED, "nested": NESTED, "shadowed": SHADOWED, "collected": ACCUMULATED, "asked": ASKED}


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_is_written_elsewhere_is_written_where_its_tags_can_stand(name: str) -> None:
    before, rewrite = Template.from_source(REWRITTEN[name]), _rewritten(REWRITTEN[name])
    rendering = rewrite.template.render(_TURNS)
    assert rendering.text == before.render(_TURNS).text
    assert [rendering.text[start:end] for start, end in rendering.generated] == ["Yo<|end|>"]
    assert not rewrite.proof.has_note(ProofNoteKind.TAGS_IN_MACRO)


@pytest.mark.parametrize("name", REWRITTEN)
def test_no_tag_stands_in_a_macro(name: str) -> None:
    source = _annotated(REWRITTEN[name]).source
    for macro in source.split("{%- macro")[1:]:
        assert "generation %}" not in macro.partition("endmacro")[0]


def test_a_macro_that_calls_itself_is_left_as_it_is() -> None:
    source = INLINED.replace("message.content +", "(turn(message, end) if message.never else message.content) +")
    with pytest.raises(CannotAnnotate, match="the macro 'turn' writes sampled and other text"):
        _annotated(source)


def test_what_is_collected_and_then_changed_is_refused_by_name() -> None:
    source = ACCUMULATED.replace("{{- ns.out -}}", "{%- set ns.out = ns.out | trim -%}{{- ns.out -}}")
    with pytest.raises(CannotAnnotate, match=r"the template collects its text in 'ns\.out' and writes it at once"):
        _annotated(source)


def test_a_variable_that_holds_several_texts_is_no_constant() -> None:
    source = SHADOWED.replace("{%- for m in", "{%- if short -%}{%- set end.mark = '<|e|>' -%}{%- endif -%}{%- for m in")
    assert "'<|end|>\\n' }}" not in source
    with pytest.raises(CannotAnnotate, match="writes sampled and other text") as caught:
        _annotated(source)
    assert caught.value.refusal is Refusal.SHARED_MACRO


_TWO_TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long"},
]
_CODE = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)
_OPENING = re.compile(r"\{%-?\s*generation\s*-?%\}")
_CLOSING = re.compile(r"\{%-?\s*endgeneration\s*-?%\}")

HEADER, STOP, NEWLINE = "header", "stop", "newline"
"""The header in the loss, the stop token outside, the newline behind it inside."""

# Some families write no newline behind the stop token, and the largest ones take longest.
DEFECTS = [
    *((name, HEADER) for name in ("chatml", "deepseek_r1", "gemma3", "qwen3", "smollm3")),
    *((name, STOP) for name in ("chatml", "deepseek_r1", "gemma3", "llama3", "qwen3", "smollm3")),
    *((name, NEWLINE) for name in ("chatml", "qwen3", "smollm3")),
]


@lru_cache
def _family_source(name: str) -> str:
    """The family as one file of plain Jinja, with its tags."""
    template = Template.load(name)
    # No tags make the mask of a turn valid that history drops.
    return (template if template.retention is None else template.with_retention("all")).export("train")


def _template(name: str, source: str) -> Template:
    return Template.from_source(source, name=f"{name}.jinja", tokens=dict(Template.load(name).tokens))


@lru_cache
def _planted(name: str, defect: str) -> str | None:
    """The family with one defect in the tags of its answers; None where its source leaves no place for it."""
    source, right = _family_source(name), _generated(_template(name, _family_source(name)), _TWO_TURNS)
    for candidate in _candidates(source, defect):
        try:
            made = _template(name, candidate)
            wrong = _generated(made, _TWO_TURNS)
        except ChatTmplError:  # a tag moved across another one
            continue
        if made.render(_TWO_TURNS).text != _template(name, source).render(_TWO_TURNS).text:
            continue
        if len(wrong) == len(right) and all(map(_is(defect), wrong, right)):
            return candidate
    return None


def _is(defect: str) -> Callable[[str, str], bool]:
    return {
        HEADER: lambda wrong, right: wrong.endswith(right) and wrong != right,
        STOP: lambda wrong, right: right.startswith(wrong) and wrong != right,
        NEWLINE: lambda wrong, right: wrong.startswith(right) and wrong != right and not wrong[len(right) :].strip(),
    }[defect]


def _candidates(source: str, defect: str) -> Iterator[str]:
    """Sources in which one tag has moved: an opening one to the left, a closing one to the right, or into the span."""
    for tag in (_OPENING if defect == HEADER else _CLOSING).finditer(source):
        rest = source[: tag.start()] + source[tag.end() :]
        inside = {at for match in _CODE.finditer(rest) for at in range(match.start() + 1, match.end())}
        step = 1 if defect == NEWLINE else -1
        near = range(tag.start() + step, tag.start() + 1_000 * step, step)
        free = [at for at in near if 0 <= at <= len(rest) and at not in inside]
        edges = {edge for match in _CODE.finditer(rest) for edge in match.span()}
        for at in dict.fromkeys([*free[:6], *[at for at in free if at in edges][:8]]):
            yield rest[:at] + tag[0] + rest[at:]
        yield from _moved_over_words(source, tag, defect)


def _moved_over_words(source: str, tag: re.Match[str], defect: str) -> list[str]:
    """If everything is joined in one output, the text is cut there and tagged."""
    if defect != STOP:
        return []
    joined = re.search(r"(\s*[+~]\s*)('<[^']*'|\"<[^\"]*\")\s*(-?\}\}\s*)$", source[: tag.start()])
    if joined is None:
        return []
    head = source[: joined.start()] + " }}"
    return [head + tag[0] + "{{ " + joined[2] + " " + joined[3] + source[tag.end() :]]


def test_each_defect_is_planted_in_several_families() -> None:
    assert len({name for name, _ in DEFECTS}) >= 6
    assert all(_planted(name, defect) is not None for name, defect in DEFECTS)


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_tags_that_were_spoilt_are_refused_and_repaired(name: str, defect: str) -> None:
    source = _planted(name, defect)
    assert source is not None
    template = _template(name, source)
    with pytest.raises(CannotAnnotate, match="the generation tags of the template are wrong"):
        template.annotate(examples=2)
    repaired = template.annotate(repair=True, examples=2).template
    assert repaired.render(_TWO_TURNS).text == template.render(_TWO_TURNS).text
    assert _generated(repaired, _TWO_TURNS) == _generated(_template(name, _family_source(name)), _TWO_TURNS)


def test_a_rewrite_may_render_where_the_template_failed_by_mistake_and_not_where_it_refuses() -> None:
    conversation = Conversation.coerce([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}])
    rewritten = Template.from_source("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}")
    got = rewritten.render(conversation)
    failing = Template.from_source("{% for m in messages %}{{ m.role + m.content }}{% endfor %}")
    refusing = Template.from_source("{% if not messages[1].content %}{{ raise_exception('empty') }}{% endif %}")
    assert no_longer_fails(failing, got, {}, False)
    assert not no_longer_fails(refusing, got, {}, False)
    assert not no_longer_fails(rewritten, got, {}, False)
