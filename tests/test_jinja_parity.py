"""Our text is Jinja's own, and where Jinja raises we do: snippets and hypothesis-made templates, against plain Jinja."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Conversation, Template
from chattmpl.errors import ChatTmplError
from chattmpl.render import Rendering
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


EXPRESSIONS = """
1 + 2 * 3 - 4 / 8 // 3 % 2 ** 3|1.0 / 3|'a' 'b'|'a' ~ 1 ~ none ~ 2.50 ~ true|-5 % 3|'%d%%' % 5|(1, 2)|[1, 'a', [none]]|{'a': 1}
'ß'.upper()|messages[1].content.upper()|messages[1].content.title()|messages[1].content|title|messages[1].content.lower()
messages[1].content|capitalize|messages[1].content.swapcase()|messages[1].content.casefold()|messages[1].content|trim
messages[1].content.splitlines()|messages[1].content.split()|messages[1].content.split('\\n')|messages[1].content|wordcount
messages[1].content.splitlines(true)|messages[1].content.rsplit(none, 1)|messages[1].content.expandtabs(3)|wordwrap(4)
messages[0].content|e|messages[0].content|escape|upper|messages[0].content|safe|messages[0].content|forceescape|striptags
messages[0].content|urlencode|messages[0].content|tojson|messages[0].content|pprint|messages[0]|pprint|messages[2].extra|pprint
messages[2].extra|tojson|messages[2].extra|tojson(indent=2)|messages[2].extra|tojson(sort_keys=true, ensure_ascii=true)
messages[2].extra|tojson(separators=(',', ':'))|messages[2].extra|string|messages[2].extra|list|messages[2].extra|dictsort
messages[2].extra.b|sum|messages[2].extra.b[:2]|sum|messages[2].extra.b|first|messages[2].extra.b|last|messages[2]|items|list
messages[2].extra.keys()|messages[2].extra.values()|messages[2].extra.items()|messages[2].extra|length|messages[2].extra['1']
messages[2].content % 'x'|messages[2].content.format(x=1)|'%s-%5.2f-%r' % ('a', 2.5, messages[2].content)|'{:>5}|{!r}'.format('a', 'b')
messages|length|messages|map(attribute='role')|join(', ')|messages|selectattr('role', 'eq', 'user')|list|length|messages|last
messages|groupby('role')|messages|map(attribute='content')|map('length')|list|messages|batch(3)|list|length|messages|slice(2)|list
messages|map(attribute='content')|sort|messages|map(attribute='content')|unique|list|messages|map(attribute='role')|max
messages[9]|messages[9].content|messages[0].missing|messages[0].missing.deeper|messages[0]['missing'] is defined|missing_name
messages[3].content or 'empty'|messages[3].content|default('d')|messages[3].content|default('d', true)|none|default('d')|not none
messages[0].content[2:5]|messages[0].content[-3]|messages[0].content[99]|messages[0].content[::2]|messages[0].content[::-1]
messages[0].items()|messages[0].get('role')|messages[0].get('nothing', 'dflt')|messages[0].pop('role')|messages.append(1)
'a' in messages[0].content|'role' in messages[0]|messages[0] in messages|1 < 2 < 3|1 < 2 > 5|'a' < 1|none < 1|[1] == [1.0]|() == []
messages[0] == messages[0]|messages[0] == messages[1]|messages[0].content == messages[0]['content']|messages[0] is mapping
messages is sequence|messages[0].content is string|none is none|1 is number|2.5 is float|true is boolean|3 is divisibleby 3|x is undefined
messages[0].content is in ['a']|'B' is upper|'b' is lower|messages is iterable|messages.append is callable|1 is sameas 1|1 is odd
'x'.center(9, '*')|'7'.zfill(3)|'-7'.zfill(4)|'a'.ljust(3) ~ '|'|'ab'.replace('', '-')|'abab'.replace('a', 'x', 1)|'a,b'.partition(',')
'a'.join('xyz')|'x'.join([])|','.join(['a', 1])|'abc'.translate({97: 'zz', 98: none})|'a' * 3|[0] * 2|'3'|int + 1|'x'|int|'2.5'|float
'abc'|reverse|'abc'|list|'abc'|first|'a b'|title|'it''s'|'I\\'m'|title|'a-b c'|title|'1st'|title|3.14159|round(2)|42|filesizeformat
range(3)|range(3)|list|range(10, 0, -3)|list|dict(a=1)|dict([('a', 1)])|lipsum is callable|namespace(a=1).a|cycler('a').next()
'a\\nb'|indent|'a\\n\\nb'|indent(2, true, true)|'a\\n'|indent|'one two three'|truncate(7)|'one two'|truncate(99)
strftime_now('%d %b %Y')|raise_exception('no')|nothing()|messages()|messages[0].content()|messages.nothing()|1 / 0|[]|first|[]|max
messages[0].content.encode().decode('utf-8')|'é'.encode('utf-8')|(255).to_bytes(2, 'big')|(2.5).is_integer()|(5).bit_length()
''.__class__|messages.__class__|messages[0]['__class__']|messages|attr('role')|messages|attr('__len__')|'{0.__class__}'.format(1)
""".strip().splitlines()

STATEMENTS = """
{% set x = 1 %}{% if x %}{% set x = 2 %}{% endif %}{{ x }}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}{{ ns }}
{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.depth }}{% endfor %}
{% for m in messages %}{{ loop.previtem.role }}<{{ loop.nextitem.role }}{{ loop.changed(m.role) }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages if m.role == 'x' %}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages %}{% if loop.index == 2 %}{% continue %}{% elif loop.index == 4 %}{% break %}{% endif %}{{ m.role }}{% endfor %}
{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}
{% for c in messages[0].content %}{{ c }}.{% endfor %}
{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}@{{ loop.depth0 }}{% endif %}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in missing %}{{ x }}{% else %}e{% endfor %}
{% macro f(a, b=2, *c, **d) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 3, 4, k=5) }}
{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 3, 4, k=5) }}{{ f() }}{{ f.name }}{{ f.arguments }}
{% macro f() %}[{{ caller('x') }}]{% endmacro %}{% call(a) f() %}{{ a }}{{ messages[0].role }}{% endcall %}
{% macro f() %}{% for m in messages %}{{ m.role }}{% endfor %}{% endmacro %}{{ f() | upper }}{{ f()[1:3] }}{{ f() | length }}
{{ f() }}{% macro f() %}x{% endmacro %}
{% filter upper | trim %} a {{ messages[0].content }} {% endfilter %}
{% set x %} a {{ messages[0].content }} {% endset %}[{{ x }}]{{ x | length }}
{% set x | trim | upper %} a {{ messages[0].content }} {% endset %}[{{ x }}]
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% block x %}a{{ messages[0].role }}{% endblock %}{{ self.x() }}
{% for m in messages %}{% block y scoped %}{{ m.role }}{{ loop.index }}{% endblock %}{% endfor %}
{% raw %}{{ x }} {% if %} {# c #}{% endraw %}
{%- raw -%} {{ x }} {%- endraw -%} y
{# comment #}a{#- c -#} b {#+ d +#} e
{% generation %}{{ messages[0].content }}{% endgeneration %}
{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}
{% for m in messages %}{% generation %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endgeneration %}{% endfor %}
{% set x %}a{% generation %}b{% endgeneration %}c{% endset %}{{ x }}{{ x | upper }}
{% macro f() %}a{% generation %}b{% endgeneration %}c{% endmacro %}{{ f() }}{{ f() ~ f() }}{{ f()[1:] }}
{% macro f(x) %}<{{ x }}>{% endmacro %}{% generation %}{{ f('a') }}{{ f(f('b')) }}{% endgeneration %}{{ f('c') }}
{% macro f() %}<{{ caller() }}>{% endmacro %}{% generation %}{% call f() %}x{% endcall %}{% endgeneration %}{% call f() %}y{% endcall %}
{% generation %}{% filter upper %}a{{ messages[0].role }}{% endfilter %}{% endgeneration %}
{% generation %}{% block b %}x{{ messages[0].role }}{% endblock %}{% endgeneration %}{{ self.b() }}
{% generation %}{% for x in [1, [2]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}{% endgeneration %}.
{%+ generation %} a {%- endgeneration +%}
x
{% autoescape true %}{{ '<' }}{% endautoescape %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% do 1 %}
{% debug %}
{% trans %}a{% endtrans %}
""".strip().splitlines()


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


@given(st.lists(PARTS, max_size=12).map("".join))
def test_whitespace_and_tags_in_any_order_mean_what_they_mean_in_jinja(source: str) -> None:
    compared(source)


BODIES = st.recursive(
    PARTS.filter(lambda part: not part.strip().startswith(("{%", "{{ y", "{#+"))),
    lambda inner: st.tuples(
        st.sampled_from(["", "\n", "  "]), st.sampled_from(["-", "+", ""]), st.sampled_from(["if true", "for m in messages"]),
        st.sampled_from(["-", "+", ""]), st.lists(inner, max_size=4).map("".join), st.sampled_from(["-", "+", ""]),
    ).map(
        lambda p: f"{p[0]}{{%{p[1]} {p[2]} {p[3]}%}}{p[4]}{{%{p[5]} end{p[2].split()[0]} {p[1]}%}}"
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(BODIES, max_size=5).map("".join))
def test_templates_that_are_well_formed_mean_what_they_mean_in_jinja(source: str) -> None:
    compared(source)
