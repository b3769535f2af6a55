"""Our text is Jinja's own, and where Jinja raises we do: snippets and made templates, against plain Jinja."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattmpl import Conversation, Rendering, Template
from chattmpl.errors import ChatTmplError
from support import ROOT
from support.plain_jinja import CLOCK, plain_render

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be <kind> & 'brief' \"now\""},
    {"role": "user", "content": " Zwei\r\nZeilen\u2028ß İstanbul ΟΔΟΣ \t"},
    {"role": "assistant", "content": "%s {x} 100%", "extra": {"b": [1, 2.5, None, True], "a": "é🎈", "1": -0.0}},
    {"role": "user", "content": ""},
]


def compared(source: str) -> Rendering | None:
    """Our rendering, once it is Jinja's; None if both raise."""
    data = Conversation.coerce(MESSAGES).to_template_input()
    variables = {"messages": data["messages"], "tools": None, "documents": None, "add_generation_prompt": False}
    try:
        expected = plain_render(source, **variables)
    except Exception:
        expected = None
    try:
        rendering = Template.from_source(source).render(MESSAGES, clock=CLOCK)
    except ChatTmplError:
        assert expected is None, "Jinja does not raise"
        return None
    assert expected is not None, "Jinja raises"
    if " object " in rendering.text and " at 0x" in rendering.text:
        return rendering  # of some object, its address
    assert rendering.text == expected[0]
    generated = [pair for pair in expected[1] if pair[0] < pair[1]]
    assert covered(list(rendering.generated)) == covered(generated)
    return rendering


def covered(ranges: list[tuple[int, int]]) -> set[int]:
    return {index for start, end in ranges for index in range(start, end)}


EXPRESSIONS, STATEMENTS = (
    (ROOT / "tests" / "jinja" / name).read_text(encoding="utf-8").splitlines()
    for name in ("expressions.txt", "statements.txt")
)
"""One or more expressions a line, with bars between them; one template a line."""


@pytest.mark.parametrize("line", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_expressions_mean_what_they_mean_in_jinja(line: str) -> None:
    words = line.split("|")
    # Split at each bar and at none: what is a filter and what an expression of its own does not matter.
    for start in range(len(words)):
        for end in range(start + 1, min(start + 4, len(words)) + 1):
            compared("{{ " + "|".join(words[start:end]) + " }}")


@pytest.mark.parametrize("source", STATEMENTS, ids=range(len(STATEMENTS)))
def test_statements_mean_what_they_mean_in_jinja(source: str) -> None:
    compared(source)


def test_most_of_what_is_compared_renders() -> None:
    assert sum(compared(source) is not None for source in STATEMENTS) > 35


PARTS = st.sampled_from(
    [
        *("{% if true %}", "{%- if messages %}", "{% if false -%}", "{%+ if true +%}", "  {% if true %}  "),
        *("{% endif %}", "{%- endif -%}", "{% endif +%}", "{% else %}", "\n{%- else %}\n"),
        *("{% for m in messages %}", "{%- for m in messages -%}", "{% endfor %}", "{%- endfor %}\n"),
        *(
            "{% generation %}",
            "{%- generation -%}",
            "{%+ generation +%}",
            "{% endgeneration %}",
            "{%- endgeneration -%}",
        ),
        *(
            "{{ m.role }}",
            "{{- messages[0].role -}}",
            "{{ '\n' }}",
            "{{ messages[1].content }}",
            "{{+ 1 }}",
            "{{ 1 -}}",
        ),
        *(
            "{# c #}",
            "{#- c -#}",
            "  {# c #}\n",
            "{#+ {% if %} +#}",
            "{% set x = 'y' %}",
            "{{ x }}",
            "\n{%- set x = 1 -%}\n",
        ),
        *("{% raw %}", "{%- raw -%}", "{% endraw %}", "{%- endraw -%}", "{% set y %}", "{% endset %}", "{{ y }}"),
        *(
            "a",
            " ",
            "\n",
            "\r\n",
            "\r",
            "\t",
            "  \n",
            "\n\n",
            "{",
            "%}",
            "}}",
            "#}",
            "<% x %>",
            "# line",
            "\x0b",
            "\u2028",
            "é",
        ),
    ]
)


@settings(max_examples=150)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_whitespace_and_tags_in_any_order_mean_what_they_mean_in_jinja(source: str) -> None:
    compared(source)


SIGNS = st.sampled_from(["-", "+", ""])


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A block around parts, with each of its four whitespace signs chosen."""
    return st.builds(
        lambda space, head, signs, body: (
            f"{space}{{%{signs[0]} {head} {signs[1]}%}}{''.join(body)}{{%{signs[2]} end{head.split()[0]} {signs[3]}%}}"
        ),
        st.sampled_from(["", "\n", "  "]),
        st.sampled_from(["if true", "for m in messages", "with x = 1"]),
        st.tuples(SIGNS, SIGNS, SIGNS, SIGNS),
        st.lists(inner, max_size=4),
    )


BODIES = st.recursive(
    PARTS.filter(lambda part: not part.strip().startswith(("{%", "{{ y", "{#+"))), blocks, max_leaves=8
)


@settings(max_examples=150)
@given(st.lists(BODIES, max_size=5).map("".join), st.tuples(SIGNS, SIGNS, SIGNS, SIGNS), st.lists(BODIES, max_size=2))
def test_templates_that_are_well_formed_mean_what_they_mean_in_jinja(
    source: str, signs: tuple[str, str, str, str], sampled: list[str]
) -> None:
    opening, closing = f"{{%{signs[0]} generation {signs[1]}%}}", f"{{%{signs[2]} endgeneration {signs[3]}%}}"
    compared(source + opening + "".join(sampled) + closing + source)
