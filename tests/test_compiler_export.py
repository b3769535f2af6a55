"""Exports: plain Jinja for other engines, which renders the same text and keeps what the author wrote."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.compiler.export import TARGETS
from chattmpl.errors import TemplateError, UsageError
from chattmpl.syntax.lexer import tokens
from support.plain_jinja import plain_render

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "U"},
    {"role": "assistant", "content": "A", "reasoning_content": "R"},
    {"role": "user", "content": "V"},
    {"role": "assistant", "content": "B"},
]
SIGNS = ["", "-", "+"]


def exports(source: str) -> tuple[str, str]:
    template = Template.from_source(source)
    return template.export("train"), template.export("inference")


def check(source: str) -> str:
    """Both exports render our text, the training export its generated ranges; returns the inference export."""
    rendering = Template.from_source(source).render(MESSAGES)
    train, inference = exports(source)
    text, generated = plain_render(train, messages=MESSAGES)
    assert text == rendering.text
    covered = {index for start, end in generated for index in range(start, end)}
    assert covered == {index for start, end in rendering.generated for index in range(start, end)}
    assert plain_render(inference, messages=MESSAGES) == (rendering.text, [])
    assert not [value for _, kind, value in tokens(inference) if value.endswith("generation")]
    return inference


@pytest.mark.parametrize(("left", "right"), [*itertools.product(SIGNS, SIGNS)])
@pytest.mark.parametrize("end", [("", ""), ("-", "-"), ("+", "+"), ("-", ""), ("", "+")])
@pytest.mark.parametrize(
    ("before", "inside", "after"),
    [
        ("a", "b", "c"),
        ("a\n", "\nb\n", "\nc"),
        ("a\n  ", "\n\n  b\n  ", "\n\n  c"),
        ("a  ", "  b  ", "  c"),
        ("{{ 'a' }} ", " {{ 'b' }} ", " {{ 'c' }}"),
        ("{{ 'a' -}}\n", "\n{{- 'b' -}}\n", "\n{{- 'c' }}"),
        ("{% if true %}\n", "\n{% if true %}\n{% endif %}\n", "\n{% endif %}"),
        ("{# x #}\n", "\n{#- x -#}\n", "\n{# x #}\n"),
        ("", "", ""),
        ("a{% raw %} {% endraw %}", "{% raw -%} b {%- endraw %}", "{% raw %}\n{% endraw %}\n"),
        ("{%- if true -%}\n  ", "  \n{%- if true -%} {% endif -%}", " \n {%- endif -%}"),
    ],
)  # fmt: skip
def test_taking_a_tag_out_never_changes_the_text(
    left: str, right: str, end: tuple[str, str], before: str, inside: str, after: str
) -> None:
    check(f"{before}{{%{left} generation {right}%}}{inside}{{%{end[0]} endgeneration {end[1]}%}}{after}")


PARTS = st.sampled_from(
    [
        *("a", " ", "\n", "\n\n", "  \n  ", "{{ 'x' }}", "{{- 'x' -}}", "{# c #}", "{#- c -#}", "  {# c #}\n"),
        *(
            "{% if true %}{% endif %}",
            "{%- set y = 1 -%}\n",
            "{% set x = 1 %}\n",
            "{{ x }}",
            "\t{%- if true +%}\n{% endif %}",
        ),
    ]
)
TEXTS = st.lists(PARTS, max_size=4).map("".join)
TAGS = st.tuples(st.sampled_from(SIGNS), st.sampled_from(SIGNS), st.sampled_from(SIGNS), st.sampled_from(SIGNS))


@settings(max_examples=150)
@given(TEXTS, TAGS, TEXTS, TEXTS, TAGS, TEXTS, TEXTS)
def test_taking_several_tags_out_of_a_made_template_never_changes_the_text(
    before: str, first: tuple[str, ...], inside: str, between: str, second: tuple[str, ...], other: str, after: str
) -> None:
    blocks = [
        f"{{%{tag[0]} generation {tag[1]}%}}{text}{{%{tag[2]} endgeneration {tag[3]}%}}"
        for tag, text in ((first, inside), (second, other))
    ]
    check(f"{before}{blocks[0]}{between}{blocks[1]}{after}")


def test_tags_on_lines_of_their_own_go_with_their_lines() -> None:
    lines = ["{% for m in messages %}", "{% generation %}", "{{ m.content }}", "{% endgeneration %}", "{% endfor %}"]
    assert check("\n".join(lines)) == "\n".join(lines[::2])
    inline = "{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{# c #}{% endfor %}"
    assert check(inline) == "{% for m in messages %}<{{ m.content }}>{# c #}{% endfor %}"


def test_the_training_export_of_plain_jinja_is_the_source_itself() -> None:
    source = (
        "{# c #}\n{% for m in messages -%}\n\t{{ m.content }}\n{%+ generation -%}x{% endgeneration %}{% endfor %}\n\n"
    )
    assert Template.from_source(source).export("train") == source


@pytest.mark.parametrize(
    ("source", "falls_back"),
    [
        ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", True),
        ("{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x is defined }}", True),
        ("{% generation %}{% set x %}2{% endset %}{{ x }}{% endgeneration %}{{ x }}", True),
        ("{% generation %}{% set a, b = 1, 2 %}{{ a }}{% endgeneration %}{{ b }}", True),
        ("{% generation %}{% macro f() %}2{% endmacro %}{{ f() }}{% endgeneration %}{{ f is defined }}", True),
        ("{% generation %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% endgeneration %}{{ x }}", True),
        ("{% for m in messages %}{% generation %}{{ x }}{% set x = 2 %}{% endgeneration %}{% endfor %}", False),
        ("{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}", False),
        ("{% generation %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{% endgeneration %}{{ x }}", False),
        (
            "{% for m in messages %}{{ x }}{% generation %}{% set x = m.role %}{{ x }}{% endgeneration %}{% endfor %}"
            "{{ x }}",
            False,
        ),
        ("{% for m in messages %}{% generation %}{% set x = m.role %}{% endgeneration %}{{ x }}{% endfor %}", True),
        (
            "{% for m in messages %}{% macro f() %}{{ x }}{% endmacro %}"
            "{% generation %}{% set x = m.role %}{% endgeneration %}{{ f() }}{% endfor %}",
            True,
        ),
        (
            "{% for m in messages %}{% if m.role == 'user' %}{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}"
            "{% elif x %}{{ x }}{% else %}{% set x %}{% endset %}{{ x }}{% endif %}{% endfor %}",
            False,
        ),
        (
            "{% for m in messages %}{% if m.role == 'user' %}{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}"
            "{% else %}{% if x %}{% endif %}{% endif %}{{ x }}{% endfor %}",
            True,
        ),
        ("{% set n = namespace(x=1) %}{% generation %}{% set n.x = 2 %}{% endgeneration %}{{ n.x }}", False),
    ],
)
def test_what_is_set_inside_a_tag_stays_inside_also_in_engines_without_its_scope(source: str, falls_back: bool) -> None:
    inference = check(source)
    assert ("{% with %}" in inference) is falls_back


@pytest.mark.parametrize("jump", ["break", "continue"])
def test_a_jump_out_of_a_generation_tag_has_no_training_export(jump: str) -> None:
    source = "{{ m.content }}{% if m %}{% JUMP %}{% endif %}".replace("JUMP", jump)
    template = Template.from_source(
        f"{{% for m in messages %}}{{% generation %}}{source}{{% endgeneration %}}x{{% endfor %}}"
    )
    with pytest.raises(TemplateError, match=f"transformers cannot compile {{% {jump} %}}") as caught:
        template.export("train")
    assert caught.value.hint is not None
    assert "target='inference'" in caught.value.hint
    inference = template.export("inference")
    assert plain_render(inference, messages=MESSAGES)[0] == template.render(MESSAGES).text


def test_a_jump_within_a_generation_tag_is_exported() -> None:
    loop = "{% for m in messages %}{{ m.content }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}"
    check("{% generation %}" + loop + "{% endgeneration %}")


def test_authoring_delimiters_are_exported_as_jinjas_own() -> None:
    train, inference = exports("<%- generation %>{{ messages[0].content }}<% endgeneration -%>")
    assert train == "{%- generation %}{{ messages[0].content }}{% endgeneration -%}"
    assert inference == "{{ messages[0].content }}"


def test_an_export_is_exported_as_itself() -> None:
    source = (
        "{% for m in messages %}\n{%- reasoning %}r{% endreasoning -%}\n"
        "{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}"
    )
    for policy, target in itertools.product(("all", "since_last_user", "last", "none", "runtime"), TARGETS):
        exported = Template.from_source(source, retention=policy).export(target)
        assert Template.from_source(exported).export(target) == exported


def test_line_breaks_of_windows_become_line_feeds() -> None:
    assert exports("a\r\n{% generation %}\r\nb{% endgeneration %}\r") == (
        "a\n{% generation %}\nb{% endgeneration %}\n",
        "a\nb\n",
    )


def test_a_target_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no target 'training'"):
        Template.from_source("x").export("training")  # type: ignore[arg-type]
