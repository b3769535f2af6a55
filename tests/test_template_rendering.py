"""Renderings: every character has the field that it came from, through all that a template can do to it.

Each field of the conversation is written in an alphabet of its own, so that a character tells the field that it is of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from chattmpl import Conversation, Rendering, Template
from chattmpl.errors import RenderError, UsageError
from chattmpl.template.spans import Span
from support.plain_jinja import CLOCK, plain_render

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "абв гд\nеж\tзи  "},
    {
        "role": "assistant",
        "reasoning_content": "\n αβγ δε\nζη ",
        "content": " աբգ դե\n\nզէ",
        "tool_calls": [
            {"type": "function", "function": {"name": "ⰰⰱⰲ", "arguments": {"city": "ⲁⲃ ⲅ", "n": 7, "l": ["ⲇ"]}}}
        ],
    },
    {"role": "tool", "content": "ⴀⴁⴂ ⴃ"},
]
TOOLS = [{"type": "function", "function": {"name": "ꭰꭱ", "description": "ꚁꚃ ꚅ", "parameters": {}}}]

_FIRST = {
    "а": (0, "content"),
    "α": (1, "reasoning_content"),
    "ա": (1, "content"),
    "ⰰ": (1, "tool_calls[0].function.name"),
    "ⲁ": (1, "tool_calls[0].function.arguments.city"),
    "ⲇ": (1, "tool_calls[0].function.arguments.l[0]"),
    "ⴀ": (2, "content"),
    "ꭰ": (None, "tools[0].function.name"),
    "ꚁ": (None, "tools[0].function.description"),
}
_ALPHABETS = ["абвгдежзи", "αβγδεζη", "աբգդեզէ", "ⰰⰱⰲ", "ⲁⲃⲅ", "ⲇ", "ⴀⴁⴂⴃ", "ꭰꭱ", "ꚁꚃꚅ"]
OWNERS = {char: _FIRST[letters[0]] for letters in _ALPHABETS for char in letters + letters.upper()}


def loop(body: str) -> str:
    """The body for each message ``m``, in which ``$`` is its content."""
    return "{% for m in messages %}" + body.replace("$", "m.content") + "{% endfor %}"


EXACT = {
    "outputs": loop("<{{ m.role }}>{{ $ }}{{ m['reasoning_content'] }}</s>"),
    "concatenation": loop("{{ '<' ~ $ ~ '|' + $ + '>' }}"),
    "set": loop("{% set x = '<' + $ %}{{ x }}{% set x = x * 2 %}{{ x }}"),
    "set block": "{% set x %}" + loop("[{{ $ }}]") + "{% endset %}{{ x }}{{ x[3:-3] }}{{ x.split('][')[1] }}",
    "set block through a filter": "{% set x | trim | upper %}  {{ messages[0].content }}  {% endset %}{{ x }}",
    "macro": "{% macro f(a, b='-') %}({{ a }}{{ b }}){% endmacro %}" + loop("{{ f($) }}{{ f('x', $) }}"
    "{{ f(b=$, a=$) }}"),
    "macro in a macro": "{% macro f(a) %}({{ a }}){% endmacro %}{% macro g(a) %}{{ f(f(a) ~ '!') }}{% endmacro %}"
    + loop("{{ g($) | trim | upper }}"),
    "call block": "{% macro f() %}<{{ caller() }}>{% endmacro %}" + loop("{% call f() %}{{ $ }}{% endcall %}"),
    "call block with arguments": "{% macro f(a) %}<{{ caller(a, 'x') }}>{% endmacro %}"
    + loop("{% call(a, b) f($) %}{{ b }}{{ a }}{{ $ }}{% endcall %}"),
    "filter block": loop("{% filter upper %}a {{ $ }} b{% endfilter %}"),
    "namespace": "{% set ns = namespace(t='') %}" + loop("{% set ns.t = ns.t ~ $ ~ ';' %}") + "{{ ns.t }}",
    "block and self": "{% block b %}" + loop("{{ $ }}") + "{% endblock %}/{{ self.b() }}",
    "scoped block": loop("{% block b scoped %}{{ $ }}{{ loop.last and '!' or '' }}{% endblock %}"),
    "recursive loop": "{% for m in messages recursive %}<{{ m.content }}{{ loop(m.tool_calls) if m.tool_calls }}"
    "{{ m.function.name if m.function }}>{% endfor %}",
    "loop over characters": loop("{% for c in $ %}{{ c }}-{% endfor %}"),
    "loop over a split": loop("{% for c in $.split() %}{{ c }}|{{ loop.nextitem or '' }}{% endfor %}"),
    "loop over items": "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}",
    "conditional expression": loop("{{ $ if $ is string else '' }}{{ m.missing or $ }}"),
    "slices": loop("{{ $[1:-1] }}{{ $[::-1] }}{{ $[0] }}{{ $[-1] }}{{ $[::2] }}"),
    "string methods": loop(
        "{{ $.strip() }}{{ $.replace(' ', '_') }}{{ $.split('\\n')[-1] }}{{ $.upper() }}"
        "{{ $.partition(' ')[2] }}{{ '+'.join($.splitlines()) }}{{ $.ljust(30, '.') }}"
        "{{ $.removeprefix('а') }}{{ '>'.join([$, 'x']) }}{{ $.zfill(30) }}"
    ),
    "replacing with a field": "{{ 'a%b%c'.replace('%', messages[0].content) }}",
    "filters": loop(
        "{{ $ | trim }}{{ $ | upper }}{{ $ | lower }}{{ $ | capitalize }}"
        "{{ $ | title }}{{ $ | replace(' ', '-') }}{{ $ | center(30) }}{{ $ | indent }}"
        "{{ $ | indent('> ', first=true, blank=true) }}{{ $ | truncate(5, true, '…') }}{{ $ | first }}"
        "{{ $ | last }}{{ $ | reverse }}{{ $ | string }}{{ $ | list | join('.') }}"
        "{{ $ | default('x') }}{{ m.missing | default($) }}{{ $ | safe }}{{ $ | e }}"
        "{{ $ | escape }}{{ $ | forceescape }}{{ $ | tojson }}{{ $ | attr('upper') is callable }}"
    ),
    "filters of lists": "{% set all = messages | map(attribute='content') | list %}{{ all | join(', ') }}"
    "{{ all | sort | first }}"
    "{{ all | map('upper') | list | last }}{{ messages | join('/', attribute='content') }}{{ all | unique | join }}"
    "{{ (messages | selectattr('role', 'equalto', 'tool') | list)[0].content }}{{ [messages[0].content] | min }}"
    "{% for g in messages | groupby('role') %}{{ g.grouper }}{{ g.list[0].content }}{% endfor %}"
    "{% for b in messages | batch(2) %}{{ b[0].content }}{% endfor %}"
    "{% for k, v in messages[0] | dictsort %}{{ v }}{% endfor %}{% for _, v in messages[0] | items %}{{ v }}"
    "{% endfor %}",
    "safe JSON": loop("{{ $ | tojson | safe }}{{ ($ | safe) ~ '!' }}"),
    "JSON": loop("{{ m | tojson }}{{ [$, 'x'] | tojson(indent=2) }}{{ {'k': $} | tojson(separators=(',', ':')) }}"),
    "JSON of tools": "{{ tools | tojson(indent=4) }}{{ tools[0].function | tojson(sort_keys=true) }}",
    "Python notation": loop("{{ m }}{{ [$] }}{{ {'k': ($,)} }}{{ m.tool_calls or '' }}"),
    "arguments": "{% for c in messages[1].tool_calls %}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}: {{ v }}{% endfor %}"
    "{{ c.function.arguments | tojson }}{{ c.function.arguments.get('city', 'nowhere') }}{% endfor %}",
    "cycler and joiner": "{% set j = joiner(messages[0].content) %}{% set c = cycler(messages[0].content, 'x') %}"
    "{{ j() }}{{ j() }}{{ c.next() }}{{ c.next() }}{{ c.next() }}" + loop("{{ loop.cycle('a', $) }}"),
    "with": loop("{% with x = $ %}{{ x }}{% endwith %}"),
    "dictionaries": "{% set d = {'a': messages[0].content, 'b': 'own'} %}"
    "{{ d.a }}{{ d['b'] }}{{ d.get('a') }}{{ d.get('c', 'own') }}",
}  # fmt: skip

DERIVED = {
    "percent": loop("{{ '<%s|%5s>' % ($, m.role) }}{{ '%s' | format($) }}"),
    "format": loop("{{ '{} {x}'.format($, x=m.role) }}{{ '{a}'.format_map({'a': $}) }}"),
    "wordwrap": loop("{{ $ | wordwrap(3) }}"),
    "url encoding": loop("{{ $ | urlencode }}{{ {'k': $} | urlencode }}"),
    "striptags": loop("{{ $ | striptags }}"),
    "urlize": loop("{{ $ | urlize }}"),
    "xmlattr": loop("{{ {'a': $} | xmlattr }}"),
    "pprint": loop("{{ m | pprint }}"),
    "expandtabs": loop("{{ $.expandtabs(4) }}"),
    "views": "{{ messages[0].values() }}{{ messages[0].items() }}{{ messages[0].keys() }}",
    "bytes": "{{ messages[0].content.encode().decode() }}{{ messages[0].content.encode() }}",
    "lengths": loop("{{ $ | length }}{{ $ | wordcount }}{{ loop.index }}{{ $ is string }}"),
}


def rendered(source: str, **kwargs: Any) -> Rendering:
    return Template.from_source(source).render({"messages": MESSAGES, "tools": TOOLS}, clock=CLOCK, **kwargs)


def chars(rendering: Rendering) -> list[tuple[str, Span]]:
    return [(char, span) for span in rendering.spans for char in rendering.text[span.start : span.end]]


def check_text(source: str) -> Rendering:
    rendering = rendered(source)
    data = Conversation.coerce({"messages": MESSAGES, "tools": TOOLS}).to_template_input()
    assert rendering.text == plain_render(source, messages=data["messages"], tools=data["tools"])[0]
    return rendering


@pytest.mark.parametrize("source", EXACT.values(), ids=EXACT)
def test_every_character_of_a_field_is_followed(source: str) -> None:
    rendering = check_text(source)
    fields = 0
    for char, span in chars(rendering):
        if char in OWNERS:
            fields += 1
            assert (span.message, span.field) == OWNERS[char], f"{char!r} in {rendering.text[span.start : span.end]!r}"
            assert not span.derived
    assert fields


@pytest.mark.parametrize("source", DERIVED.values(), ids=DERIVED)
def test_what_cannot_be_followed_is_derived_and_never_the_templates_own(source: str) -> None:
    rendering = check_text(source)
    assert any(span.derived for span in rendering.spans)
    for char, span in chars(rendering):
        if char in OWNERS:
            message, field = OWNERS[char]
            assert not span.literal
            assert span.field is None or (field in span.field and message in (span.message, span.message or message))


# -- what else a rendering says


def sources_of_turns(source: str) -> list[tuple[str, int | None]]:
    spans = rendered(source).spans
    merged: list[tuple[str, int | None]] = []
    text = rendered(source).text
    for span in spans:
        part = text[span.start : span.end]
        if merged and merged[-1][1] == span.turn:
            merged[-1] = (merged[-1][0] + part, span.turn)
        else:
            merged.append((part, span.turn))
    return merged


TURNS = [("[", None), ("<user>", 0), ("<assistant>", 1), ("<tool>", 2), ("]", None)]


@pytest.mark.parametrize(
    "source",
    [
        "[{% for m in messages %}<{{ m.role }}>{% endfor %}]",
        "[{% for m in messages recursive %}<{{ m.role }}>{% endfor %}]",
        "[{% for m in messages %}<{% for c in 'x' %}{{ m.role }}{% endfor %}>{% endfor %}]",
        "[{% for m in messages %}{% for m in [m] %}<{{ m.role }}{% endfor %}>{% endfor %}]",
        "[{% for m in messages %}{% for n in [m] %}<{{ n.role }}{% endfor %}>{% endfor %}]",
        "{% set x %}[{% for m in messages %}<{{ m.role }}>{% endfor %}]{% endset %}{{ x }}",
        "{% macro f() %}[{% for m in messages %}<{{ m.role }}>{% endfor %}]{% endmacro %}{{ f() }}",
        "[{% for m in messages if m.role %}<{{ m.role }}>{% else %}none{% endfor %}]",
        "[{% for m in messages %}<{{ m.role }}>{% continue %}x{% endfor %}]",
        "[{% block b %}{% for m in messages %}<{{ m.role }}>{% endfor %}{% endblock %}]",
    ],
)
def test_text_written_while_a_message_is_rendered_belongs_to_its_turn(source: str) -> None:
    assert sources_of_turns(source) == TURNS


def test_a_template_without_a_loop_over_messages_gets_its_turns_from_the_fields() -> None:
    source = (
        "<u>{{ messages[0].content[:3] }}</u><a>{% generation %}{{ messages[1].content[1:4] }}</a>{% endgeneration %}"
    )
    assert sources_of_turns(source) == [("<u>абв", 0), ("</u><a>աբգ</a>", 1)]


def test_generated_text_before_the_first_field_of_its_turn_belongs_to_that_turn() -> None:
    source = (
        "<u>{{ messages[0].content[:3] }}{% for i in [1] %}<a>{% generation %}<think>"
        "{{ messages[i].reasoning_content[2:5] }}</think>{{ messages[i].content[1:4] }}</a>{% endgeneration %}"
        "{% endfor %}<t>{{ messages[2].content[0] }}"
    )
    assert sources_of_turns(source) == [
        ("<u>абв", 0),
        ("<a><think>αβγ</think>աբգ</a>", 1),
        ("<t>ⴀ", 2),
    ]
    assert len(rendered(source).generated) == 1


def test_spans_say_the_line_that_wrote_them() -> None:
    rendering = rendered("a\n{% for m in messages[:1] %}\n{{ m.role }}\n\n{{ 'c' }}\n{% endfor %}")
    assert [(rendering.text[s.start : s.end], s.line) for s in rendering.spans] == [
        ("a\n", 1),
        ("user", 3),
        ("\n\n", 3),
        ("c\n", 5),
    ]


def test_the_line_of_a_macros_text_is_that_in_the_macro() -> None:
    rendering = rendered("{% macro f() %}\na{% endmacro %}\n\n{{ f() }}{{ f() | upper }}")
    assert [(rendering.text[s.start : s.end], s.line) for s in rendering.spans] == [("\n", 3), ("aA", 2)]


LOST = [
    "messages[0].content",
    "messages[1].reasoning_content",
    "messages[1].content",
    "messages[1].tool_calls[0].function.name",
    "messages[1].tool_calls[0].function.arguments.city",
    "messages[1].tool_calls[0].function.arguments.n",
    "messages[1].tool_calls[0].function.arguments.l[0]",
    "messages[2].content",
    "tools[0].function.name",
    "tools[0].function.description",
]


@pytest.mark.parametrize(
    ("source", "lost"),
    [
        ("", LOST),
        ("{{ messages[0].content[0] }}", LOST[1:]),
        ("{{ messages[0].content | length }}", LOST),
        ("{{ '%s' % messages[0].content }}", LOST[1:]),
        ("{{ '%s %s' % (messages[0].content, messages[2].content) }}", [*LOST[1:7], *LOST[8:]]),
        ("{{ messages | tojson }}", LOST[8:]),
        ("{{ messages }}{{ tools }}", []),
        ("{% set x = messages | tojson %}", LOST),
        ("{{ messages[0].content | e }}{{ tools | tojson | safe }}", LOST[1:8]),
    ],
)
def test_a_field_is_lost_if_no_character_came_from_it(source: str, lost: list[str]) -> None:
    assert sorted(rendered(source).lost) == sorted(lost)


def test_kwargs_that_a_template_reads_have_an_origin_and_are_not_lost() -> None:
    source = "{{ date }}{{ bos_token }}{% if style %}!{% endif %}"
    rendering = Template.from_source(source, tokens={"bos_token": "<s>"}).render(
        [{"role": "user", "content": "x"}], date="日", style="plain"
    )
    assert [(s.message, s.field) for s in rendering.spans] == [(None, "chat_template_kwargs.date"), (None, None)]
    assert rendering.lost == ("messages[0].content",)


def test_the_clock_is_the_one_that_was_given() -> None:
    template = Template.from_source("{% block b scoped %}{{ strftime_now('%d %B %Y') }}{% endblock %}")
    for clock in (CLOCK, lambda: datetime(2025, 7, 10)):
        assert template.render([{"role": "user", "content": "x"}], clock=clock).text == "10 July 2025"


def test_a_prefill_ends_where_the_final_content_ends_and_keeps_its_spaces() -> None:
    template = Template.from_source("{% for m in messages %}{{ m.role }}:{{ m.content }}</s>{% endfor %}")
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "so x "}]
    rendering = template.render(messages, continue_final_message=True)
    assert rendering.text == "user:x</s>assistant:so x "
    assert rendering.spans[-1].end == len(rendering.text)
    with pytest.raises(RenderError, match="nothing to continue"):
        template.render([*messages, {"role": "assistant", "content": None}], continue_final_message=True)
    with pytest.raises(UsageError, match="mutually exclusive"):
        template.render(messages, continue_final_message=True, add_generation_prompt=True)


def test_a_prefill_that_closes_a_trace_ends_after_the_closer() -> None:
    content = "<think>\n17*23 = 391.\n</think>\n\n"
    messages = [{"role": "user", "content": "17*23?"}, {"role": "assistant", "content": content}]
    rendering = Template.load("qwen3").render(messages, continue_final_message=True)
    assert rendering.text.endswith(f"<|im_start|>assistant\n{content}")
    assert rendering.conversation.messages[-1].content == content


def test_a_prefill_that_the_template_rewrites_is_refused() -> None:
    template = Template.from_source("{% for m in messages %}{{ m.content | lower }}{% endfor %}")
    with pytest.raises(RenderError, match="nothing to continue"):
        template.render([{"role": "user", "content": "x"}], continue_final_message=True)
    template = Template.from_source("{% for m in messages %}{{ m.content | replace('x', 'y') }}{% endfor %}")
    with pytest.raises(RenderError, match="the template changes its content"):
        template.render([{"role": "user", "content": "x"}], continue_final_message=True)


def test_spans_that_do_not_cover_the_text_are_refused() -> None:
    rendering = rendered("ab")
    for spans in ((), (Span(0, 1, None, None, False),), (Span(1, 2, None, None, False),)):
        with pytest.raises(AssertionError, match="span"):
            Rendering("ab", spans, (), rendering.conversation, rendering.template)


def test_arguments_may_have_any_name() -> None:
    macro = "{% macro f(context, obj) %}{{ context }}{{ obj }}{% endmacro %}"
    assert rendered(macro + "{{ f(obj='b', context='a') }}{{ namespace(obj='x', context='y').obj }}").text == "abx"
