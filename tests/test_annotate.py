"""Generation tags that are placed by the program: small templates, one for each situation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.errors import ChatTmplError
from chattmpl.laws.checker import check
from chattmpl.laws.law import laws_named
from chattmpl.probing import facts_of
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.shapes import generated_conversations, shipped_conversations
from chattmpl.rewrite.annotate.refusal import CannotAnnotate
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

GOOD = {
    "one_line": CHATML,
    "branches": BRANCHES,
    "raw_text": RAW,
    "carried": CARRIED,
    "chosen": CHOSEN,
    "parts": PARTS,
    "tools": TOOLS,
    "echo": ECHO,
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


def _annotated(source: str, **options: object) -> Template:
    return Template.from_source(source, name="small.jinja").annotate(examples=_EXAMPLES, **options)  # type: ignore[arg-type]


def _generated(template: Template, messages: object = _TURN) -> list[str]:
    rendering = template.render(messages)
    return [rendering.text[start:end] for start, end in rendering.generated]


@pytest.mark.parametrize("name", GOOD)
def test_a_template_gets_tags_and_its_laws_hold_on_conversations_that_were_not_tried(name: str) -> None:
    before = Template.from_source(GOOD[name])
    after = _annotated(GOOD[name])
    shape = facts_of(before).shape
    conversations = [*shipped_conversations(), *generated_conversations(40, shape)]
    for conversation in conversations:
        for prompt in (False, True):
            assert _outcome(after, conversation, prompt) == _outcome(before, conversation, prompt)
    named = {exemption.law for exemption in after.proof.exceptions} if after.proof else set()
    report = check(after, laws_named(["sampled", "stop", "pure"]), conversations)
    assert {finding.shown.law for finding in report.findings} <= named
    assert all(verdict.holds for verdict in report.verdicts)


def _outcome(template: Template, conversation: object, prompt: bool) -> str | None:
    try:
        return template.render(conversation, prompt, CLOCK).text
    except ChatTmplError:
        return None


def test_the_changes_read_as_a_person_would_have_made_them() -> None:
    shown = []
    for name, source in GOOD.items():
        proof = _annotated(source).proof
        assert proof is not None
        shown.append(f"== {name}\n{proof.diff}")
    matches_snapshot("annotate_diffs.txt", "\n".join(shown))


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_lawful_is_refused(name: str) -> None:
    with pytest.raises(CannotAnnotate):
        _annotated(BAD[name])


def test_a_refusal_says_which_law_cannot_hold_and_shows_it() -> None:
    from chattmpl.report.annotation import refusal_text

    shown = []
    for name, source in BAD.items():
        with pytest.raises(CannotAnnotate) as caught:
            _annotated(source)
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
        with pytest.raises(ChatTmplError):
            template.render(nothing)


def test_lawful_tags_are_left_as_they_are() -> None:
    once = _annotated(CHATML)
    twice = once.annotate(examples=_EXAMPLES)
    assert twice.source == once.source
    assert twice.proof is not None
    assert twice.proof.notes[0] == "its generation tags are lawful already: nothing was changed"
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
    with pytest.raises(CannotAnnotate) as caught:
        _annotated(source)
    assert caught.value.hint is not None
    assert "--repair" in caught.value.hint
    mended = _annotated(source, repair=True)
    assert _generated(mended) == ["Yo<|end|>"]
    assert mended.render(_TURN).text == Template.from_source(source).render(_TURN).text


def test_repairing_leaves_tags_that_are_right() -> None:
    right = "{%  generation  %}{{ m.content + '<|end|>' }}{%  endgeneration  %}"
    source = (
        "{% for m in messages %}\n{% if m.role == 'assistant' and m.tool_calls %}\n<|a|>\n" + right + "\n"
        "{% elif m.role == 'assistant' %}\n{% generation %}<|a|>\n{{ m.content + '<|end|>' }}{% endgeneration %}\n"
        "{% else %}\n{{ '<|u|>' + m.content }}\n{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\n<|a|>\n"
        "{% endif %}\n"
    )
    mended = _annotated(source, repair=True)
    assert right in mended.source
    assert _generated(mended) == ["Yo<|end|>"]


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
    proof = _annotated(source).proof
    assert proof is not None
    assert [(one.law, one.why) for one in proof.exceptions] == [
        ("sampled", "in history it is not rendered as it was sampled")
    ]
    assert any(message.reasoning_content for message in proof.exceptions[0].conversation.messages)
    with pytest.raises(CannotAnnotate, match="cannot hold for some conversations"):
        _annotated(source, strict=True)


def test_what_no_conversation_reached_is_named_with_its_line() -> None:
    source = BRANCHES.replace(
        "        {{- text }}\n",
        "        {%- if m.mood == 'sad' %}\n        {{- ':(' }}\n        {%- endif %}\n        {{- text }}\n",
    )
    proof = _annotated(source).proof
    assert proof is not None
    assert any("never reached" in note for note in proof.notes)


def test_a_tokenizer_is_annotated_as_a_file_is() -> None:
    class Tokenizer:
        chat_template = CHATML
        special_tokens_map = {"eos_token": "<|im_end|>"}  # noqa: RUF012
        name_or_path = "some/model"

    assert _generated(Template.load(Tokenizer()).annotate(examples=0)) == ["Yo<|im_end|>"]


def test_a_template_keeps_its_tokens(tmp_path: Path) -> None:
    source = CHATML.replace("'<|im_end|>'", "eos_token")
    after = Template.from_source(source, tokens={"eos_token": "</s>"}).annotate(examples=0)
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
        after = before.annotate(examples=4)
    except CannotAnnotate:
        return
    for conversation in generated_conversations(20):
        assert _outcome(after, conversation, False) == _outcome(before, conversation, False)
    plain = [conversation for conversation in shipped_conversations() if len(conversation.messages) > 1]
    for verdict in check(after, laws_named(["sampled", "stop", "pure"]), plain).verdicts:
        assert verdict.broken == []
