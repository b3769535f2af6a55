"""Annotation of templates of other styles: prompts in the loop, plain text, loops over indices, other stop tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.capabilities import inspect_template
from chattmpl.cli import main
from chattmpl.data.fast.markers import merge_touching
from chattmpl.laws.checker import check
from chattmpl.laws.law import laws_named
from chattmpl.lint.runner import lint
from chattmpl.rewrite.annotate.target_spans import Obstacle
from chattmpl.rewrite.refusal import CannotAnnotate, Refusal
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource, find_templates

_TURN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
_TWO = [*_TURN, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "See you"}]
_PROMPT = "{% if add_generation_prompt %}<|open|>assistant\n{% endif %}"

PROMPT_IN_THE_LOOP = """\
{%- for m in messages %}
    {{- '<|open|>' + m.role + '\\n' + m.content + '<|end|>\\n' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|open|>assistant\\n' }}
    {%- endif %}
{%- endfor %}
"""
PROMPT_AFTER_QUESTIONS = """\
{%- for m in messages %}
    {{- '<|open|>' + m.role + '\\n' + m.content + '<|end|>\\n' }}
{%- endfor %}
{%- if messages[-1].role == 'user' %}
    {{- '<|open|>assistant\\n' }}
{%- endif %}
"""
NO_PROMPT = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>' + m.content + '<|end|>' }}"
    "{{ '' if loop.last else '\\n' }}{% else %}{{ '<|' + m.role + '|>' + m.content + '\\n' }}{% endif %}{% endfor %}"
)
PLAIN_TEXT = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|open|>assistant\n{{ m.content }}<|end|>\n"
    "{% else %}<|open|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endif %}{% endfor %}" + _PROMPT
)
NO_ROLES = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
INDICES = """\
{%- set end_of_turn = '<|end|>\\n' %}
{%- for i in range(messages | length) %}
    {%- set m = messages[i] %}
    {%- if i == 0 and m.role == 'system' %}
        {{- '<|open|>system\\n' + m.content }}
        {{- end_of_turn -}}
        {%- continue %}
    {%- endif %}
    {%- if m.role == 'assistant' %}
        {{- '<|open|>assistant\\n' }}
        {%- if m.content %}
            {{- m.content }}
        {%- endif %}
        {{- end_of_turn -}}
    {%- else %}
        {{- '<|open|>' + m.role + '\\n' + m.content }}
        {{- end_of_turn -}}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|open|>assistant\\n' }}
{%- endif %}
"""
BARE_INDICES = (
    "{% for i in range(messages|length) %}{% if messages[i].role == 'assistant' %}<|answer|>{{ messages[i].content }}"
    "<|end|>{% else %}<|{{ messages[i].role }}|>{{ messages[i].content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role == 'user' %}<|answer|>{% endif %}"
)
REBUILT = """\
{%- set ns = namespace(found=[], group=[], role=none) %}
{%- for m in messages + [{'role': 'end'}] %}
    {%- if m.role == 'tool' or m.role != ns.role %}
        {%- if ns.role == 'tool' %}
            {%- set ns.found = ns.found + ns.group %}
        {%- elif ns.role is not none %}
            {%- set text = ns.group | map(attribute='content') | join('\\n') %}
            {%- set made = {'role': ns.role, 'content': text, 'tool_calls': ns.group[-1].tool_calls} %}
            {%- set ns.found = ns.found + [made] %}
        {%- endif %}
        {%- set ns.group = [] %}
        {%- set ns.role = m.role %}
    {%- endif %}
    {%- set ns.group = ns.group + [m] %}
{%- endfor %}
{%- for m in ns.found %}
    {%- if m.role == 'assistant' %}
        {{- m.content }}
        {%- for call in m.tool_calls or [] %}
            {{- '[CALL]' }}
            {{- call.function.name + '[WITH]' + (call.function.arguments | tojson) }}
        {%- endfor %}
        {{- '<|end|>' }}
    {%- elif m.role == 'tool' %}
        {{- '[RESULT]' + m.content + '[/RESULT]' }}
    {%- else %}
        {{- '[ASK]' + m.content + '[/ASK]' }}
    {%- endif %}
{%- endfor %}
"""
STYLES = {
    "prompt in the loop": (PROMPT_IN_THE_LOOP, ["Yo<|end|>", "See you<|end|>"]),
    "prompt after questions": (PROMPT_AFTER_QUESTIONS, ["Yo<|end|>", "See you<|end|>"]),
    "no prompt": (NO_PROMPT, ["<|assistant|>Yo<|end|>", "<|assistant|>See you<|end|>"]),
    "plain text": (PLAIN_TEXT, ["Yo<|end|>", "See you<|end|>"]),
    "no roles": (NO_ROLES, ["Yo<eos>", "See you<eos>"]),
    "indices": (INDICES, ["Yo<|end|>", "See you<|end|>"]),
    "bare indices": (BARE_INDICES, ["Yo<|end|>", "See you<|end|>"]),
    "messages that are rebuilt": (REBUILT, ["Yo<|end|>", "See you<|end|>"]),
}


def _template(source: str, **tokens: str) -> Template:
    return Template(TemplateSource(Source(source, "styles.jinja"), {"eos_token": "<eos>", **tokens}, None))


def _generated(template: Template, messages: Any) -> list[str]:
    rendering = template.render(messages)
    return [rendering.text[start:end] for start, end in rendering.generated]


@pytest.mark.parametrize("name", STYLES)
def test_the_style_of_a_template_does_not_matter(name: str) -> None:
    source, expected = STYLES[name]
    before = _template(source)
    after = before.annotate(examples=6).template
    assert _generated(after, _TWO) == expected
    assert after.render(_TWO).text == before.render(_TWO).text
    assert after.source != source


@pytest.mark.parametrize(
    "stop", ["[|endofturn|]", "[e~[", "</assistant>", "</fox_s>", "</s>", "<|end|>", "<end_of_turn>", "[END]"]
)
def test_what_ends_a_turn_is_known_by_its_form(stop: str) -> None:
    source = PROMPT_IN_THE_LOOP.replace("<|end|>", stop)
    assert _generated(_template(source).annotate(examples=4).template, _TURN) == [f"Yo{stop}"]


@pytest.mark.parametrize(
    ("ends", "tokens", "stop"),
    [
        ("<|/assistant|></s>", {}, "<|/assistant|></s>"),
        ("<|end|><|stop|>", {"eos_token": "<|stop|>"}, "<|end|><|stop|>"),
        ("<|end|><|stop|>", {"eos_token": "<|end|>"}, "<|end|>"),
        ("<|end|>\n<|stop|>", {"eos_token": "<|stop|>"}, "<|end|>"),
    ],
)
def test_of_several_tokens_in_a_row_the_one_that_engines_stop_at_ends_a_turn(
    ends: str, tokens: dict[str, str], stop: str
) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + '" + ends.replace("\n", "\\n") + "' }}"
        "{% else %}{{ '<|' + m.role + '|>' + m.content + '<|reply|>' }}{% endif %}{% endfor %}"
    )
    assert _generated(_template(source, **tokens).annotate(examples=4).template, _TURN) == [f"Yo{stop}"]


def test_an_answer_that_no_prompt_precedes_is_an_exception_and_changes_no_other() -> None:
    proof = _template(PROMPT_IN_THE_LOOP).annotate(examples=4).proof
    assert Obstacle.NO_QUESTION in {one.obstacle for one in proof.exceptions}
    proof = _template(PROMPT_AFTER_QUESTIONS).annotate(examples=4).proof
    assert Obstacle.NO_PROMPT in {one.obstacle for one in proof.exceptions}


@pytest.mark.parametrize("name", ["indices", "bare indices"])
def test_a_loop_over_indices_tells_the_turns(name: str) -> None:
    rendering = _template(STYLES[name][0]).render(_TWO)
    ends = [span.turn for span in rendering.spans if "<|end|>" in rendering.text[span.start : span.end]]
    assert ends == ([0, 1, 2, 3] if name == "indices" else [1, 3])


def test_messages_that_the_template_made_itself_are_turns_too() -> None:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "look", "arguments": {"at": "it"}}}
    conversation = [
        _TURN[0],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "seen"},
        {"role": "assistant", "content": "Yo"},
    ]
    rendering = _template(REBUILT).render(conversation)
    turns = {rendering.text[span.start : span.end]: span.turn for span in rendering.spans}
    assert turns["[CALL]"] == turns["look"] == 1
    assert turns["[RESULT]"] == turns["seen"] == 2
    assert turns["[/ASK]"] == 0
    made = _template(REBUILT).annotate(examples=4).template
    assert _generated(made, conversation) == ['[CALL]look[WITH]{"at": "it"}<|end|>', "Yo<|end|>"]


def test_where_no_condition_can_tell_there_is_a_refusal_and_not_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "joined.jinja"
    path.write_text("{{ messages | map(attribute='content') | join('<|end|>') + '<|end|>' }}", encoding="utf-8")
    assert main(["annotate", str(path), "--examples", "2", "--dry-run"]) == 1
    assert "nothing was written" in capsys.readouterr().err
    with pytest.raises(CannotAnnotate, match="no condition distinguishes them") as caught:
        Template.load(path).annotate(examples=2)
    assert caught.value.refusal is Refusal.NO_CONDITION


NAMED_AS_ARGUMENTS = (
    "".join(
        f"{{% if {name} %}}{{{{ {name} }}}}{{% endif %}}"
        for name in ("prompt", "clock", "conversation", "template", "raw", "kwargs", "messages_", "text", "completion")
    )
    + "{% for m in messages %}{{ '<|open|>' + m.role + '\\n' }}{% if m.reasoning_content and prompt %}"
    + "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content + '<|end|>\\n' }}{% endfor %}"
    + _PROMPT
)


def test_kwargs_may_be_named_as_our_own_arguments(tmp_path: Path) -> None:
    path = tmp_path / "named.jinja"
    path.write_text(NAMED_AS_ARGUMENTS, encoding="utf-8")
    (found,) = find_templates([str(path)])
    inspected = inspect_template(found)
    assert inspected.error is None
    assert {"prompt", "template", "raw", "kwargs"} <= inspected.modes.keys()
    template = Template.load(path)
    report = check(template, laws_named(None), [Conversation.model_validate({"messages": _TWO})])
    assert {finding.shown.law for finding in report.findings} <= {"lossless", "prefix", "portable"}
    assert all(diagnostic.code != "CT001" for diagnostic in lint(found))
    assert template.annotate(examples=3).proof.held


STOPS_BEFORE_THE_NEXT_MESSAGE = """\
{%- set ns = namespace(count=0) %}
{%- macro header(role, space=true) %}{{- '<|' + role + '|>' }}{% if space %}{{- ' ' }}{% endif %}{%- endmacro %}
{%- for m in messages %}
    {%- set prefix = header(m.role) %}
    {%- if ns.count > 0 %}{{- '<|eom|>' }}{% endif %}
    {{- '<|bom|>' + prefix + m.content }}
    {%- set ns.count = ns.count + 1 %}
{%- endfor %}
{%- if add_generation_prompt %}
    {%- if ns.count > 0 %}{{- '<|eom|>' }}{% endif %}
    {{- '<|bom|>' + header('assistant', false) }}
{%- else %}
    {%- if ns.count > 0 %}{{- '<|eom|>' }}{% endif %}
{%- endif %}
"""
ANSWERS_OF_SEVERAL_MESSAGES = """\
{%- set ns = namespace(open=false) %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- if not ns.open %}{{- '<|assistant_start|>' }}{%- set ns.open = true %}{% endif %}
        {{- m.content }}
    {%- else %}
        {%- if ns.open %}{{- '<|assistant_end|>' }}{%- set ns.open = false %}{% endif %}
        {{- '<|user_start|>' + m.content + '<|user_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if ns.open %}{{- '<|assistant_end|>' }}{% endif %}
{%- if add_generation_prompt %}{{- '<|assistant_start|>' }}{% endif %}
"""
NO_STOP_AFTER_THE_LAST_ANSWER = """\
{%- for m in messages %}
    {{- '<|open|>' + m.role + '\\n' }}
    {%- if m.role == 'user' or not loop.last %}
        {{- m.content + '<|end|>' }}
    {%- else %}
        {{- m.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|open|>assistant\\n' }}{% endif %}
"""


@pytest.mark.parametrize(
    ("source", "generated"),
    [
        (STOPS_BEFORE_THE_NEXT_MESSAGE, [" Yo<|eom|>", " See you<|eom|>"]),
        (ANSWERS_OF_SEVERAL_MESSAGES, ["Yo<|assistant_end|>", "See you<|assistant_end|>"]),
        (NO_STOP_AFTER_THE_LAST_ANSWER, ["Yo<|end|>", "See you"]),
    ],
)
def test_stop_tokens_that_are_written_later_than_their_answer_are_generated(source: str, generated: list[str]) -> None:
    rewrite = Template.from_source(source).annotate(examples=10)
    rendering = rewrite.template.render(_TWO)
    assert [rendering.text[start:end] for start, end in merge_touching(rendering.generated)] == generated
