"""The lexer that knows offsets, the tags of the dialect in a source, and edits that remember where text stood."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Lexer

from chattmpl import Template
from chattmpl.compiler.dialect import checked_tree
from chattmpl.compiler.sandbox import TemplateEnvironment
from chattmpl.errors import TemplateError
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.lexer import normalize_newlines, plain_delimiters, tokens
from chattmpl.syntax.tree import Tree
from chattmpl.template.family import family_names, load_family
from support.fetched import trl_templates

ENVIRONMENT = TemplateEnvironment()
MESSAGES = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]


def check_offsets(source: str) -> None:
    """Every token stands at its offset, in order, what lies between is whitespace, and they are Jinja's tokens."""
    text = normalize_newlines(source)
    position = 0
    found = tokens(source)
    for offset, _, value in found:
        assert not text[position:offset].strip()
        assert text[offset : offset + len(value)] == value
        position = offset + len(value)
    assert not text[position:].strip()
    assert [(kind, value) for _, kind, value in found] == [
        (kind, value) for _, kind, value in Lexer(ENVIRONMENT).tokeniter(source, None)
    ]


@pytest.mark.upstream
def test_every_token_of_trls_templates_stands_at_its_offset() -> None:
    for source in trl_templates().values():
        check_offsets(source)
        check_offsets(source.replace("\n", "\r\n"))


@pytest.mark.parametrize("name", family_names())
def test_every_token_of_a_familys_template_stands_at_its_offset(name: str) -> None:
    check_offsets(load_family(name).template_source.text)


PIECES = st.sampled_from(
    [
        *("{% if a %}", "{%- if a -%}", "{%+ if a +%}", "{% endif %}", "{%- endif -%}", "{% generation %}", "\n\n  "),
        *("{# c\n #}", "{#- c -#}", "{% raw %}", "{%- raw -%}", "{% endraw %}", "{%- endraw -%}", "<% generation %>"),
        *("{{ a }}", "{{- a -}}", "{{ 'x\n\n y' }}", " ", "\n", "\r\n", "\r", "\t", "\x0b", "\x0c", "\x85", "\u2028"),
        *("\xa0", "a", "é🎈", "{", "}", "%", "#"),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_every_token_of_a_made_template_stands_at_its_offset(source: str) -> None:
    try:
        list(Lexer(ENVIRONMENT).tokeniter(source, None))
    except TemplateSyntaxError as error:
        with pytest.raises(TemplateSyntaxError, match=f"^{re.escape(str(error))}"):
            tokens(source)
    else:
        check_offsets(source)


# -- tags


def found(source: str) -> Tree:
    return checked_tree(Source(source))


def test_tags_are_found_with_their_signs_and_bodies() -> None:
    source = "a\n  {%- set x = 1 +%}\n{%for m in messages[1:]-%}\n  {%+ else %}{% endfor %}"
    tags = found(source).tags
    assert [(tag.name, tag.left, tag.right, tag.body) for tag in tags] == [
        ("set", "-", "+", "x = 1"),
        ("for", "", "-", "m in messages[1:]"),
        ("else", "+", "", ""),
        ("endfor", "", "", ""),
    ]
    assert [source[tag.start : tag.end] for tag in tags] == [
        "{%- set x = 1 +%}",
        "{%for m in messages[1:]-%}",
        "{%+ else %}",
        "{% endfor %}",
    ]


@pytest.mark.parametrize("left", ["", "-", "+"])
@pytest.mark.parametrize("right", ["", "-", "+"])
def test_generation_tags_are_found_whatever_their_signs(left: str, right: str) -> None:
    tag = f"{{%{left} generation {right}%}}"
    (block,) = found(f"x {tag} y {{%{right}endgeneration{left}%}}").blocks("generation")
    assert (block.opening.start, block.opening.end) == (2, 2 + len(tag))
    assert block.closing.name == "endgeneration"


@pytest.mark.parametrize(
    "source",
    [
        "{# {% generation %} #}",
        "{% raw %}{% generation %}{% endraw %}",
        "{{ '{% generation %}' }}",
        "{% set x = '{% endgeneration %}' %}",
        "{# <% generation %> #}{{ '<% endgeneration %>' }}",
    ],
)
def test_what_only_looks_like_a_tag_is_none(source: str) -> None:
    parsed = found(plain_delimiters(source))
    assert parsed.blocks("generation") == ()
    assert Template.from_source(source).program.has_generation is False


def test_blocks_know_the_blocks_around_them_and_their_else() -> None:
    source = (
        "{% for m in messages %}{% if m %}{% set a %}x{% endset %}{% set b = 1 %}"
        "{% reasoning %}{% if x %}{% else %}{% endif %}A{% else %}B{% endreasoning %}{% endif %}{% endfor %}"
    )
    (block,) = found(source).blocks("reasoning")
    assert [outer.name for outer in block.blocks] == ["if", "for"]
    assert block.otherwise is not None
    assert [item.text for item in block.otherwise.body] == ["B"]


# -- authoring delimiters


@pytest.mark.parametrize(
    ("authored", "plain"),
    [
        ("a<% generation %>b<% endgeneration %>c", "a{% generation %}b{% endgeneration %}c"),
        ("a <%- generation -%> b <%+endgeneration+%> c", "a {%- generation -%} b {%+endgeneration+%} c"),
        ("<% raw %>{% raw %}<% generation %>{% endraw %}", "<% raw %>{% raw %}<% generation %>{% endraw %}"),
        ("{{ x }}\n{%- if y %}\n<% generation %>", "{{ x }}\n{%- if y %}\n{% generation %}"),
        ("{{ '<% generation %>' }}{# <% generation %> #}", "{{ '<% generation %>' }}{# <% generation %> #}"),
    ],
)
def test_authoring_delimiters_in_text_become_jinjas(authored: str, plain: str) -> None:
    assert plain_delimiters(authored) == plain


def test_both_spellings_render_the_same() -> None:
    source = (
        "{% for m in messages %}\n<{{ m.role }}>\n  <%- generation %>\n{{ m.content }}</s>\n"
        "<% endgeneration -%>\n\n{% endfor %}"
    )
    authored, plain = (Template.from_source(text) for text in (source, source.replace("<%", "{%").replace("%>", "%}")))
    assert authored.source == plain.source
    assert authored.render(MESSAGES).generated == plain.render(MESSAGES).generated == ((6, 12), (23, 29))


@given(st.lists(PIECES, max_size=8).map("".join))
def test_a_source_without_authoring_delimiters_is_left_alone(source: str) -> None:
    source = source.replace("<%", "")
    assert plain_delimiters(source) == source


# -- edits


@given(
    st.text("abc\n", max_size=20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.text("XYZ", max_size=3)), max_size=4),
)
def test_edits_remember_where_every_kept_character_stood(source: str, wanted: list[tuple[int, int, str]]) -> None:
    edits: list[Edit] = []
    expected: list[tuple[str, int | None]] = [(char, index) for index, char in enumerate(source)]
    for start, length, text in sorted(wanted, reverse=True):
        end = min(start + length, len(source))
        if start > len(source) or (edits and end > edits[-1].start):
            continue
        edits.append(Edit(start, end, text))
        expected[start:end] = [(char, None) for char in text]
    edited = apply_edits(source, reversed(edits))
    assert edited.text == "".join(char for char, _ in expected)
    for offset, (_, stood) in enumerate(expected):
        if stood is not None:
            assert edited.source_offset(offset) == stood


def test_a_replacement_stands_where_what_it_replaced_did() -> None:
    edited = apply_edits("abcdef", [Edit(0, 0, "12"), Edit(2, 4, "XYZXYZ"), Edit(2, 2, "-")])
    assert edited.text == "12ab-XYZXYZef"
    assert [edited.source_offset(offset) for offset in range(len(edited.text))] == [
        0,
        0,
        0,
        1,
        2,
        2,
        3,
        4,
        4,
        4,
        4,
        4,
        5,
    ]


def test_edits_that_overlap_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="overlap"):
        apply_edits("abcdef", [Edit(0, 3, ""), Edit(2, 4, "")])


def test_the_line_of_a_compiled_statement_is_that_of_the_source() -> None:
    source = (
        "{% for message in messages %}\n{{ message.role }}\n{% reasoning %}\n{{ message.reasoning_content }}\n"
        "{% endreasoning %}\n{{ message.content }}\n{% endfor %}"
    )
    for retention in ("all", "since_last_user", "last", "none", "runtime"):
        rendering = Template.from_source(source, retention=retention).render(
            [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A", "reasoning_content": "R"}]
        )
        assert {(span.field, span.line) for span in rendering.spans if span.field == "content"} == {("content", 6)}
        assert {span.line for span in rendering.spans if span.field == "reasoning_content"} <= {4}


@pytest.mark.parametrize("tag", ["generation", "reasoning", "endgeneration", "endreasoning"])
def test_a_tag_of_the_dialect_takes_nothing_but_its_name(tag: str) -> None:
    with pytest.raises(TemplateError, match="takes no arguments, but has 'x'"):
        Template.from_source(f"{{% for m in messages %}}{{% {tag} x %}}{{% end{tag} %}}{{% endfor %}}")
