# ruff: noqa: E501 — templates stand on one line, for line breaks are output
"""Templates compiled to plain Python render what Jinja2's sandbox renders, or are not compiled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from jinja2 import UndefinedError

from chattmpl import Template
from chattmpl.conversation.strategies import conversations
from chattmpl.errors import ChatTmplError
from support.extras import need

need("gigatoken", "numpy")

from chattmpl.data.fast.markers import Unsupported, with_markers  # noqa: E402
from chattmpl.data.fast.renderers import (  # noqa: E402
    CompiledRenderer,
    JinjaRenderer,
    RenderRefused,
)
from chattmpl.data.fast.rows import prepare  # noqa: E402

pytestmark = pytest.mark.data

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"é": [1, {"b": None}]}}}]
VARIABLES: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "a <b>", "n": 1.5},
        {"role": "assistant", "content": None, "list": [1, True, {"x": "y"}], "items": "shadowed"},
        {"role": "user", "content": "\n two \n"},
    ],
    "tools": TOOLS,
    "word": "early",
}


def both(source: str, variables: dict[str, Any]) -> tuple[str, str]:
    """What each renders."""
    renderers = (CompiledRenderer(source, datetime.now), JinjaRenderer(source, datetime.now))
    return tuple(renderer.render(dict(variables)) for renderer in renderers)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}"
        "{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{{ loop.last }}{% else %}none{% endfor %}",
        "{% for m in messages if m.role == word %}{{ m }}{% else %}none {{ word }}{% endfor %}",
        "{% for m in nothing %}x{% else %}none{% endfor %}{% for c in 'abc' %}{{ c }}{% endfor %}",
        "{% for m in messages %}{% for c in m.list or [] %}{{ loop.index }}{{ c }}{% endfor %}{{ loop.last }}{% endfor %}",
        "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{{ messages[1]['items'] }}",
        "{% set a = 1 %}{% for m in messages %}{% set a = loop.index %}{{ a }}{% endfor %}{{ a }}",
        "{% set s = namespace(n=0, text='') %}{% for m in messages %}{% set s.n = s.n + 1 %}"
        "{% set s.text = s.text ~ m.role %}{% endfor %}{{ s.n }}{{ s.text }}{{ s.missing }}",
        "{% macro f(a, b='x') %}{{ a }}-{{ b }}-{{ word }};{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}",
        "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
        "{% set word = 'late' %}{% macro f() %}{{ word }}{% endmacro %}{% set word = 'later' %}{{ f() }}",
        "{{ missing }}{{ missing is defined }}{{ word is defined }}{{ messages[9] }}{{ messages[0].a is defined }}",
        "{{ messages[1].content }}{{ messages[1].content is none }}{{ messages[1].content is string }}",
        "{{ messages[0] is mapping }}{{ messages is iterable }}{{ true is true }}{{ 1 is true }}{{ word is undefined }}",
        "{{ messages[0].content.split(' ')[-1].strip('<>') }}{{ word.upper() }}{{ word[1:] }}{{ word[-1] }}{{ word[9] }}",
        "{{ messages[0]['content'] | trim | replace('a', 'b') }}{{ messages | length }}{{ word | default('x') }}",
        "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list }}",
        "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ tools[0] | tojson }}{{ messages[1].list | tojson }}",
        "{{ messages[0].get('role') }}{{ messages[0].get('z', 'd') }}{{ messages[0].keys() | list }}{{ 'x' ~ 1 ~ none }}",
        "{% set x %}a{{ word }}{% endset %}{{ x }}{% with y = 1 %}{{ y }}{% endwith %}{{ y }}{{ 'a' if missing else 'b' }}",
        "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ m.role }}{% break %}{% endfor %}",
        "{{ messages[0].n + 1 }}{{ 7 // 2 }}{{ 'é' in word }}{{ [1, 2][::-1] }}{{ {'a': 1}.a }}{{ range(3) | list }}",
        "{% for m in messages %}{% set word = m.role %}{% endfor %}{{ word }}{% if word %}{% set q = 1 %}{% endif %}{{ q }}",
        "{{ 'it\\'s \"so\" {x} {{ \\\\ \\n %s' ~ word ~ '}' }}'\"{ {{ word }} }\\",
        "{% macro f(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}<{{ p }}>{% endfor %}{% endif %}{% endmacro %}"
        "{{ f(word) }}{{ f([1, 2]) ~ f(missing) }}{{ f() }}{% set x = f(word) %}{{ x is string }}",
        "{% macro f(c) %}{% if c == 1 %}one{% elif c == 2 %}{% set d = c %}{{ d }}!{% endif %}{% endmacro %}{{ f(1) }}{{ f(2) }}{{ f(3) }}",
        "{% macro f(c) %}{% set d = c %}{% if d %}{% for i in [1] %}{{ i }}{% endfor %}{% else %}-{% endif %}{% endmacro %}{{ f(1) }}{{ f(0) }}",
        "{% set rest = messages[1:] %}{% for m in rest %}{% if m.role == 'user' or m['role'] == 'x' %}{{ m.role }}{% endif %}"
        "{% for m in rest %}{{ m.n }}{{ m.n is defined }}{% endfor %}{{ m.content }}{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.role }}{% continue %}{% else %}none{% endfor %}",
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% else %}none{% endfor %}",
        "{% for m in messages %}{% break %}{% else %}{% for n in [] %}{% else %}none{% endfor %}{% endfor %}",
        "{% if word == 'late' %}{{ word | default(nothing.at_all) }}{% endif %}{{ nothing | default(word) | default([1]) }}",
        "{% if missing %}a{% endif %}{% if not missing and word %}b{% endif %}{{ 'c' if missing or tools else 'd' }}"
        "{% for m in messages %}{% if m.n %}e{% endif %}{% if m.n and m['list'] or not m.list %}{{ m.n or m.list }}{% endif %}"
        "{% set late = m.late %}{% if late %}f{% endif %}{% if not tools[0].z %}{{ not tools[0].z }}{% endif %}{% endfor %}",
        "{% for m in messages %}{% set m = {'role': 'other'} %}{{ m.role }}{{ m.role }}{% endfor %}",
        "{% for m in messages if m.role != 'user' and m.role != 'x' %}{{ m.role }}{% for n in messages if n.role == m.role %}"
        "{{ n.role }}{{ n.role }}{% endfor %}{% endfor %}",
        "{% if missing %}{% set s = namespace(n=1) %}{% endif %}{{ s is defined }}",
        "{{ messages[0].content | trim }}{{ 5 | trim }}{{ messages[0].x | default(word) }}{{ messages[1].content | default('d', true) }}",
        "{{ 'a' if missing }}{{ messages[-1].role }}{{ messages[0:0][0] is defined }}{{ word[0] }}{{ word[-1] }}{{ word.index('r') }}",
        "{{ word ~ messages[0].content.find('a') ~ word.startswith('e') ~ word.split('a') ~ word.upper() }}",
        "{{ {'a': 'é\"', 'b': 2} | tojson }}{{ {'a': 1.5} | tojson }}{{ {} | tojson }}{{ {'a': [1]} | tojson }}{{ {'a': true} | tojson }}",
        "{{ strftime_now is defined }}{{ range is undefined }}{{ 'a{}b{:>4}'.format(word, 1) }}{{ word.format(1) ~ '{0}'.format('x') }}",
        "{% if tools %}{% macro f(t) %}{% for x in t %}{{ x.type }}{% endfor %}{% endmacro %}{{ f(tools) }}{{ f([]) }}{% endif %}{{ f(tools) }}",
        "{% if missing %}{% macro f(t) %}a{% endmacro %}{% else %}{% set x = 1 %}{% endif %}{{ x }}{{ 'b' if missing else 'c' }}",
        "{{ messages[0]['__class__'] }}{{ word | attr('__class__') }}{{ messages[0]['_' ~ '_class__'] }}",
    ],
)
def test_a_compiled_template_renders_what_the_sandbox_renders(source: str) -> None:
    compiled, sandboxed = both(source, VARIABLES)
    assert compiled == sandboxed


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ messages.__class__ }}", "private"),
        ("{{ ''.format_map({}) }}", "unknown function"),
        ("{{ messages.append(1) }}", "unknown function"),
        ("{{ messages[0].update({}) }}", "unknown function"),
        ("{{ messages[0].items }}", "method of dicts"),
        ("{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}", "unknown function"),
        ("{% for m in messages %}{{ loop }}{% endfor %}", "loop as a value"),
        ("{% for m in messages %}{{ loop.depth }}{% endfor %}", "loop.depth"),
        ("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}x{% endcall %}", "blocks"),
        ("{% macro f() %}{% endmacro %}{{ f(1) }}", "does not accept"),
        ("{% macro f() %}{% endmacro %}{% set g = f %}", "function as a value"),
        ("{% set range = 1 %}", "name of a function"),
        ("{% set n = namespace() %}{% set n.items = 1 %}", "namespace"),
        ("{% set n = messages[0] %}{% set n.content = 1 %}", "namespace"),
        ("{% for n in messages %}{% set n.content = 1 %}{% endfor %}", "namespace"),
        ("{% macro f(a, b=a) %}{% endmacro %}{{ f(1) }}", "another argument"),
        ("{{ dict(*messages) }}", "unpacks"),
        ("{% for m in messages recursive %}{% endfor %}", "recursive"),
        (
            "{% set s = namespace(seen=[]) %}{% for m in messages if m.role not in s.seen %}{{ m.role }}"
            "{% set s.seen = s.seen + [m.role] %}{% endfor %}",
            "may change",
        ),
        (
            "{% set s = namespace(n=0) %}{% macro few(m) %}{{ s.n < 2 }}{% endmacro %}"
            "{% for m in messages if few(m) == 'True' %}{% set s.n = s.n + 1 %}{% endfor %}",
            "may change",
        ),
        ("{% for m in messages %}{% macro f() %}{% endmacro %}{% endfor %}", "inside another scope"),
        ("{% macro f() %}{% endmacro %}{% macro f() %}{% endmacro %}", "defined twice"),
        ("{% set s = namespace() %}{% if s %}n{% endif %}", "more than its attributes"),
        ("{% set s = namespace() %}{{ s }}", "more than its attributes"),
        ("{% set s = namespace(a=1) %}{{ s is mapping }}", "more than its attributes"),
        ("{% set s = namespace(a=1) %}{{ s | tojson }}", "more than its attributes"),
        ("{% set s = namespace(a=1) %}{{ 'a' in s }}", "more than its attributes"),
        ("{% set s = namespace(a=1) %}{% for k in s %}{{ k }}{% endfor %}", "more than its attributes"),
        ("{% set s = namespace(a=1) %}{{ s['a'] }}", "more than its attributes"),
        ("{{ namespace() or 'x' }}", "not assigned to a name"),
        ("{{ namespace(a=1) == namespace(a=1) }}", "not assigned to a name"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_not_compiled(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        CompiledRenderer(source, datetime.now)


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{{ missing | tojson }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_a_template_that_refuses_or_does_not_end_is_for_the_exact_path(source: str) -> None:
    with pytest.raises((RenderRefused, TypeError)):
        CompiledRenderer(source, datetime.now).render({})


def test_a_default_that_raises_does_so_where_it_is_not_needed() -> None:
    for source in ("{{ 'a' | default(raise_exception('no')) }}", "{{ 'a' | default(nope.nope) }}"):
        for make in (CompiledRenderer, JinjaRenderer):
            with pytest.raises((RenderRefused, UndefinedError)):
                make(source, datetime.now).render({})


def test_a_variable_named_like_a_function_is_for_the_exact_path() -> None:
    with pytest.raises(RenderRefused):
        CompiledRenderer("{{ range(3) }}", datetime.now).render({"range": 1})


def test_a_variable_named_like_a_namespace_is_for_the_exact_path() -> None:
    source = "{% if x %}{% set s = namespace(n=0) %}{% endif %}{% set s.n = 1 %}{{ s.n }}"
    assert CompiledRenderer(source, datetime.now).render({"x": True}) == "1"
    with pytest.raises(RenderRefused):
        CompiledRenderer(source, datetime.now).render({"s": {"n": 0}})


def test_a_row_that_cannot_be_rendered_leaves_the_texts_of_others_alone() -> None:
    source = "{{ '{%' }} generation %}{% for m in messages %}{{ m.content }}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    renderer = CompiledRenderer(source, datetime.now)
    pieces = ["before"]
    with pytest.raises(RenderRefused):
        renderer.write({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}, pieces)
    assert pieces[0] == "before"


def test_tools_are_written_anew_when_they_are_others() -> None:
    renderer = CompiledRenderer("{{ tools | tojson }}", datetime.now)
    for number in (1, 2, 1, 3):
        assert renderer.render({"tools": [{"n": number}]}) == f'[{{"n": {number}}}]'


@pytest.mark.parametrize(
    "macro",
    [
        "{% macro f(t) %}{% for x in t %}{{ x.function.name }}{% endfor %}{% endmacro %}",
        "{% macro f(t) %}{{ word }}{{ t | length }}{% endmacro %}",
        "{% set w = word %}{% macro f(t) %}{{ w }}{{ t[0].type }}{% endmacro %}",
        "{% set s = namespace(n=word) %}{% macro f(t) %}{{ s.n }}{% set s.n = s.n ~ 1 %}{{ t[0].type }}{% endmacro %}",
        "{% macro f(t) %}{% if t.x %}{% set late = 1 %}{% endif %}{{ late }}{{ t | length }}{% endmacro %}",
        "{% macro g(t) %}{{ word }}{% endmacro %}{% macro f(t) %}{{ g(t) }}{{ t | length }}{% endmacro %}",
        "{% macro f(t) %}{{ t | length }}{% if t[0].parts %}{{ f(t[0].parts) }}{% endif %}{% endmacro %}",
    ],
)
def test_a_macro_writes_anew_what_depends_on_more_than_the_tools(macro: str) -> None:
    source = macro + "{{ f(tools) }}{{ f(tools) }}"
    compiled, sandboxed = CompiledRenderer(source, datetime.now), JinjaRenderer(source, datetime.now)
    tools = [{"type": "function", "function": {"name": "f"}, "parts": [{"x": 1}]}]
    for variables in ({"word": "a"}, {"word": "b"}, {"word": "b", "late": 7}, {"word": "b", "t": 1}):
        given = {"tools": tools, **variables}
        assert compiled.render(given) == sandboxed.render(given)


def test_what_a_macro_writes_of_the_tools_of_other_rows_is_remembered() -> None:
    source = (
        "{% macro f(start, t) %}{{ start }}{% for x in t %}{{ x }}{% endfor %}{% endmacro %}"
        "{{ f('a' ~ 'b', tools) }}{{ f('c', tools) }}"
    )
    renderer, counted = CompiledRenderer(source, datetime.now), []

    class Told:
        def __str__(self) -> str:
            counted.append(1)
            return "x"

    variables = {"tools": [Told()]}
    assert [renderer.render(variables) for _ in range(3)] == ["abxcx"] * 3
    assert len(counted) == 2
    assert renderer.render({"tools": [Told(), 1]}) == "abx1cx1"


def test_a_clock_that_moves_is_read_anew() -> None:
    moments = iter([datetime(2025, 1, 1), datetime(2025, 1, 2)])
    renderer = CompiledRenderer("{{ strftime_now('%d') }}", lambda: next(moments))
    assert [renderer.render({}), renderer.render({})] == ["01", "02"]


def test_a_clock_that_stands_still_tells_each_format() -> None:
    now = datetime(2025, 1, 2)
    renderer = CompiledRenderer("{{ strftime_now('%d') }}{{ strftime_now('%m') }}", lambda: now)
    assert [renderer.render({}), renderer.render({})] == ["0201", "0201"]


@pytest.mark.parametrize("family", ["qwen3", "gpt_oss", "llama3", "deepseek_r1"])
def test_shipped_families_are_compiled_and_render_the_same(family: str) -> None:
    program = Template.load(family).program
    compiled, sandboxed = (make(with_markers(program), datetime.now) for make in (CompiledRenderer, JinjaRenderer))
    seen = 0

    @given(record=conversations())
    def compare(record: dict[str, Any]) -> None:
        nonlocal seen
        try:
            row = prepare(record)
            variables = {"messages": row.messages, "tools": row.tools, "documents": row.documents, **row.kwargs}
            text = sandboxed.render({**variables, "bos_token": "<s>", "add_generation_prompt": False})
        except (ChatTmplError, RenderRefused, TypeError):
            return
        seen += 1
        assert compiled.render({**variables, "bos_token": "<s>", "add_generation_prompt": False}) == text

    compare()
    assert seen > 10
