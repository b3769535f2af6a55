"""Slips of the pen in a good template: each is found, and as one finding."""

from __future__ import annotations

import pytest

from chattmpl import Template
from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.runner import lint
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource

GOOD = r"""
{{- bos_token -}}
{%- if tools -%}
{{- '<|im_start|>system\n' -}}
{%- if messages[0].role == 'system' -%}{{- messages[0].content + '\n' -}}{%- endif -%}
{%- for tool in tools -%}{{- (tool | tojson) + '\n' -}}{%- endfor -%}
{{- '<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '<|im_start|>assistant\n' -}}
{%- generation -%}
{{- message.content or '' -}}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson -}}
{{- '}\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>' -}}
{%- endgeneration -%}
{{- '\n' -}}
{%- elif message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{- '<|im_start|>user' -}}{%- endif -%}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' -}}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}{{- '<|im_end|>\n' -}}{%- endif -%}
{%- elif not (message.role == 'system' and tools and loop.first) -%}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\n' -}}
{%- endif -%}
"""

RESULT = r"{{- '\n<tool_response>\n' + message.content"
QUESTION = r"{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
ANSWER = "{{- message.content or '' -}}"

SLIPS = {
    "an answer loses its first character": (ANSWER, "{{- (message.content or '')[1:] -}}", "CT312", "an answer"),
    "an answer loses its last character": (ANSWER, "{{- (message.content or '')[:-1] -}}", "CT312", "an answer"),
    "a question loses its first character": (
        QUESTION,
        QUESTION.replace("message.content", "message.content[1:]"),
        "CT316",
        "a question",
    ),
    "a system message with tools loses its first character": (
        "messages[0].content +",
        "messages[0].content[1:] +",
        "CT316",
        "a system message",
    ),
    "the result of a tool loses its first character": (
        RESULT,
        RESULT.replace("message.content", "message.content[1:]"),
        "CT316",
        "a tool result",
    ),
    "the id of a result is printed": (
        RESULT,
        RESULT.replace("message.content", "message.tool_call_id ~ message.content"),
        "CT309",
        "tool_call_id of a tool result",
    ),
    "a late system message is trained": (
        QUESTION,
        "{%- if message.role == 'system' and not loop.first -%}{%- generation -%}"
        + QUESTION
        + "{%- endgeneration -%}{%- else -%}"
        + QUESTION
        + "{%- endif -%}",
        "CT108",
        "system",
    ),
    "the second of two results opens a turn": (
        "messages[loop.index0 - 1]",
        "messages[loop.index0 - 2]",
        "CT205",
        "inside the turn of the first",
    ),
    "the second of two results stands in no turn": (
        "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}{{- '<|im_end|>\\n' -}}{%- endif -%}",
        "{{- '<|im_end|>\\n' -}}",
        "CT205",
        "outside any turn",
    ),
    "results are headed like answers": (
        "'<|im_start|>user'",
        "'<|im_start|>assistant'",
        "CT209",
        "tool result has the header of an answer",
    ),
    "the generation prompt is turned around": (
        "{%- if add_generation_prompt -%}",
        "{%- if not add_generation_prompt -%}",
        "CT207",
        "only if it is not requested",
    ),
    "the generation prompt follows every question": (
        "{%- if add_generation_prompt -%}",
        "{%- if messages[-1].role == 'user' -%}",
        "CT207",
        "requested or not",
    ),
    "no conversation has the BOS token": (
        "{{- bos_token -}}",
        "{%- if loop is defined -%}{{- bos_token -}}{%- endif -%}",
        "CT211",
        "not in any conversation",
    ),
    "a call is not closed": (r"'}\n</tool_call>'", r"'}\n'", "CT210", "<tool_call> opens a section"),
    "a call lacks a brace": (r"'}\n</tool_call>'", r"'\n</tool_call>'", "CT317", "is not valid JSON"),
}


def found_in(source: str) -> list[TemplateDiagnostic]:
    # The closing tag is known, as it is in the instructions that come with most templates.
    return lint(TemplateSource(Source(source + "{#- </tool_call> -#}", "x.jinja")))


def test_the_good_template_has_no_finding() -> None:
    assert [found for found in found_in(GOOD) if found.severity != "info"] == []


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_finding(slip: str) -> None:
    old, new, code, says = SLIPS[slip]
    assert GOOD.count(old) == 1
    before = {(found.code, found.message) for found in found_in(GOOD)}
    added = [found for found in found_in(GOOD.replace(old, new)) if (found.code, found.message) not in before]
    mine = [found for found in added if found.code == code]
    assert [says in found.message for found in mine] == [True]
    assert [found.code for found in added if found.severity != "info"] in ([], [code])


def test_indentation_that_is_not_trained_is_for_information() -> None:
    source = GOOD.replace("{%- if add_generation_prompt -%}\n{{-", "{%- if add_generation_prompt %}\n    {{")
    assert [found.severity for found in found_in(source) if found.code == "CT707"] == ["info"]


def test_what_a_prompt_shows_is_not_told_again_as_rewritten_history() -> None:
    source = "{{- '[' ~ messages | length ~ ']' -}}" + GOOD.replace("{{- bos_token -}}", "")
    assert [found.code for found in found_in(source) if found.code in ("CT203", "CT204")] == ["CT203"]


def test_a_loop_over_a_variable_called_loop_is_refused_as_in_jinja() -> None:
    with pytest.raises(Exception, match="assign to special loop variable"):
        Template.from_source("{% for m in messages %}{% set loop = 1 %}{{ m.content }}{% endfor %}")
