"""The text of every error as a user reads it: the problem, the position and the hint."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.budget import Budget
from chattmpl.errors import BudgetError, ChatTmplError, RenderError, TemplateError, UsageError
from support.snapshots import error_of, matches_snapshot, sections

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
]

SOURCES = {
    # the dialect's own tags
    "unclosed_generation": "{% for message in messages %}\n  {%- generation %}\n  {{ message.content }}\n",
    "unclosed_generation_in_a_loop": "{% for m in messages %}\n  {% generation %}{{ m.content }}\n{% endfor %}",
    "unclosed_reasoning": "{% for m in messages %}{% reasoning %}{{ m.content }}",
    "nested_generation": "{% generation %}\na{% generation %}b{% endgeneration %}\n{% endgeneration %}",
    "nested_reasoning": "{% for m in messages %}{% reasoning %}{% reasoning %}{% endreasoning %}"
    "{% endreasoning %}{% endfor %}",
    "endgeneration_without_opening": "{{ messages[0].content }}{%- endgeneration -%}",
    "endreasoning_without_opening": "{% for m in messages %}{% endreasoning %}{% endfor %}",
    "crossing_blocks": "{% generation %}\n{% if messages %}\n{% endgeneration %}\n{% endif %}",
    "crossing_generation_and_reasoning": "{% for m in messages %}{% generation %}{% reasoning %}{% endgeneration %}"
    "{% endreasoning %}",
    "generation_in_a_macro_never_called": "{% macro turn(m) %}\n{% generation %}{{ m.content }}{% endgeneration %}"
    "\n{% endmacro %}",
    "generation_with_words": "{% generation assistant %}{% endgeneration %}",
    "reasoning_with_a_condition": "{% for m in messages %}{% reasoning if m %}{% endreasoning %}{% endfor %}",
    "misspelt_tag": "{% generaton %}{{ messages }}{% endgeneraton %}",
    "misspelt_end_tag": "{% generation %}{{ messages }}{% endgenerations %}",
    "reasoning_outside_of_a_loop": "{% reasoning %}x{% endreasoning %}",
    "reasoning_in_a_loop_over_something_else": "{% for tool in tools %}{% reasoning %}x{% endreasoning %}{% endfor %}",
    "reasoning_in_a_macro": "{% macro f(m) %}{% reasoning %}x{% endreasoning %}{% endmacro %}",
    "reasoning_in_a_filtered_loop": "{% for m in messages if m.content %}{% reasoning %}x{% endreasoning %}{% endfor %}"
    "",
    "reasoning_in_a_reversed_loop": "{% for m in messages | reverse %}{% reasoning %}x{% endreasoning %}{% endfor %}",
    "reasoning_in_a_loop_over_a_slice": "{% for m in messages[:-1] %}{% reasoning %}x{% endreasoning %}{% endfor %}",
    # Jinja's syntax
    "unknown_filter": "line one\n{{ messages[0].content | tojsn }}",
    "unknown_test": "{% if messages is strin %}{% endif %}",
    "unknown_tag": "{% fro m in messages %}{% endfor %}",
    "unclosed_for": "{% for m in messages %}\n{{ m.content }}\n",
    "unclosed_if_in_a_for": "{% for m in messages %}{% if m %}\n{% endfor %}",
    "unclosed_expression": "a\n{{ messages[0].content \nb",
    "unclosed_comment": "a\n  {# a comment\n",
    "unclosed_raw": "{% raw %}\nx",
    "unclosed_string": "{{ 'abc }}",
    "unclosed_parenthesis": "{{ (1 + 2 }}",
    "endfor_without_for": "x\n{% endfor %}",
    "else_without_if": "{% else %}",
    "two_expressions": "{{ messages messages }}",
    "empty_expression": "{{ }}",
    "strange_character": "{{ messages ? 1 : 2 }}",
    "assignment_in_an_expression": "{{ x = 1 }}",
    "bad_loop": "{% for m on messages %}{% endfor %}",
    "set_of_an_attribute": "{% set message.content = 'x' %}",
    "break_outside_of_a_loop": "{% break %}",
    "deep_in_a_long_line": "{{ messages }}" * 20 + "{{ messages | nope }}" + "{{ messages }}" * 20,
    "nested_too_deeply": "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    "loops_nested_too_deeply": "{% for m in messages %}" * 25 + "{% endfor %}" * 25,
    # at render time
    "undefined_attribute": "{% for m in messages %}\n{{ m.contents.strip() }}\n{% endfor %}",
    "undefined_variable": "{{ massages[0].content }}",
    "undefined_function": "{{ render_turn(messages) }}",
    "index_beyond_the_end": "{{ messages[7].content }}",
    "raise_exception": "{% if messages[0].role != 'system' %}"
    "\n{{ raise_exception('The first message must be from the system.') }}{% endif %}",
    "raise_exception_in_a_macro": "{% macro f() %}\n  {{ raise_exception('no') }}\n{% endmacro %}\n{{ f() }}",
    "null_content_added": "{% for m in messages %}\n<s>{{ '' }}{{ '[' + m.content + ']' }}\n{% endfor %}",
    "null_content_trimmed": "{{ messages[1].content.strip() }}",
    "list_of_parts_searched": "{{ [messages[0].content].startswith('<') }}",
    "list_added_to_a_string": "{{ 'a' + messages }}",
    "loop_over_a_number": "{% for part in messages | length %}{% endfor %}",
    "null_added": "{{ 'a' + none }}",
    "null_argument": "{{ messages[0].content.split(none, none) }}",
    "division_by_zero": "{{ 1 / 0 }}",
    "json_of_a_function": "{{ range | tojson }}",
    "sandbox_attribute": "{{ messages.__class__.__mro__ }}",
    "sandbox_mutation": "{{ messages.append(1) }}",
    "sandbox_namespace": "{% set ns = namespace(_x=1) %}",
    "sandbox_range": "{% for i in range(10 ** 9) %}{% endfor %}",
    "include": "{% include 'other.jinja' %}",
    # the budget
    "budget_steps": "{% for a in range(9999) %}\n{% for b in range(9999) %}{% endfor %}\n{% endfor %}",
    "budget_characters": "x\n{{ 'ab' * 10 ** 9 }}",
    "budget_integer": "{{ 9 ** (9 ** 9) }}",
    "budget_recursion": "{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}",
}  # fmt: skip


def template_error(source: str) -> ChatTmplError:
    def render() -> None:
        Template.from_source(source, name="chat.jinja", budget=Budget(steps=50_000)).render(MESSAGES)

    return error_of(render)


def shown(error: ChatTmplError) -> str:
    return f"{type(error).__name__}: {error}"


def test_an_error_in_a_template_has_a_problem_a_place_and_mostly_a_hint() -> None:
    errors = {name: template_error(source) for name, source in SOURCES.items()}
    assert [name for name, error in errors.items() if not isinstance(error, (TemplateError, RenderError))] == []
    assert [name for name, error in errors.items() if error.place is None] == []
    matches_snapshot("errors_in_templates.txt", sections((name, shown(error)) for name, error in errors.items()))


QWEN = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}T{% endif %}{{ date }}"

CALLS: dict[str, Callable[[], Any]] = {
    "unknown_kwarg": lambda: Template.from_source(QWEN).render(MESSAGES, enable_thinkin=True),
    "unknown_kwarg_far_from_any": lambda: Template.from_source(QWEN).render(MESSAGES, zebra=1),
    "unknown_kwarg_where_there_are_none": lambda: Template.from_source("x").render(MESSAGES, date="x"),
    "boolean_in_quotes": lambda: Template.from_source(QWEN).render(MESSAGES, enable_thinking="false"),
    "boolean_as_a_number": lambda: Template.load("qwen3").render(MESSAGES[:1], enable_thinking=0),
    "prefill_and_generation_prompt": lambda: Template.from_source("x").render(
        MESSAGES, add_generation_prompt=True, continue_final_message=True
    ),
    "prefill_without_content": lambda: Template.from_source("x").render(MESSAGES, continue_final_message=True),
    "unknown_family": lambda: Template.load("qwen4"),
    "unknown_policy": lambda: Template.load("qwen3", retention="al"),
    "policy_without_reasoning": lambda: Template.from_source("x", name="chat.jinja", retention="last"),
    "unknown_target": lambda: Template.from_source("x").export("training"),  # type: ignore[arg-type]
    "break_in_generation": lambda: Template.from_source(
        "{% for m in messages %}\n{% generation %}\n{% break %}\n{% endgeneration %}{% endfor %}", name="chat.jinja"
    ).export("train"),
    "runtime_policy": lambda: Template.from_source(
        "{% for m in messages %}{% reasoning %}x{% endreasoning %}{% endfor %}", name="chat.jinja", retention="runtime"
    ).render(MESSAGES, reasoning_retention="always"),
}  # fmt: skip


def test_an_error_in_a_call_has_a_problem_and_a_hint_or_a_place() -> None:
    errors = {name: error_of(call) for name, call in CALLS.items()}
    assert [name for name, error in errors.items() if not error.hint and error.place is None] == []
    matches_snapshot("errors_in_calls.txt", sections((name, shown(error)) for name, error in errors.items()))


FILES = {
    "missing_file": ("nothing.jinja", None),
    "missing_folder": ("./nothing", None),
    "folder_without_a_template": (".", None),
    "not_utf8": ("chat.jinja", b"a\xff"),
    "not_json": ("tokenizer_config.json", b"{"),
    "config_without_a_template": ("tokenizer_config.json", b"{}"),
    "json_that_is_no_object": ("tokenizer_config.json", b"[]"),
}


def test_an_error_in_a_file_that_is_not_a_template_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for name, (path, content) in FILES.items():
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        if content is not None:
            Path(path).write_bytes(content)
        error = error_of(functools.partial(Template.load, path))
        assert isinstance(error, (TemplateError, UsageError))
        errors.append((name, shown(error)))
    matches_snapshot("errors_in_files.txt", sections(errors))


def test_a_syntax_error_is_a_template_error_and_a_budget_error_a_render_error() -> None:
    assert isinstance(template_error("{% if %}"), TemplateError)
    assert isinstance(template_error(SOURCES["budget_steps"]), BudgetError)
    assert issubclass(BudgetError, RenderError)


def test_an_error_raised_while_rendering_keeps_its_cause() -> None:
    assert template_error("{{ 1 / 0 }}").__cause__ is not None
    assert template_error("{% if %}").__cause__ is None


def test_a_line_break_in_what_a_template_raises_begins_no_line_of_a_report() -> None:
    template = Template.from_source(r"{{ raise_exception('x\n::add-mask::SECRET') }}", name="a\n::b.jinja")
    with pytest.raises(RenderError, match="x↵⟨U\\+003A⟩:add-mask::SECRET") as caught:
        template.render([{"role": "user", "content": "hi"}])
    assert caught.value.complaint == "x\n::add-mask::SECRET"
    assert [line[:2] for line in str(caught.value).splitlines()] == ["a↵", "  ", "  "]
