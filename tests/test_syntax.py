"""The syntax tree: it covers every character of a source, and its expressions are those that Jinja parses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jinja2.nodes as jinja
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser

from chattmpl.compiler.sandbox import TemplateEnvironment
from chattmpl.syntax import nodes
from chattmpl.syntax.edits import apply_edits
from chattmpl.syntax.items import Block, Comment, Output, Raw, Tag, Text
from chattmpl.syntax.lexer import normalize_newlines, plain_delimiters
from chattmpl.syntax.tree import Tree, parse
from chattmpl.template.family import family_names, load_family
from support.fetched import hub_templates
from support.timing import fastest

ENVIRONMENT = TemplateEnvironment()


class ReasoningTag(Extension):
    """The reasoning tag for Jinja's parser; the compiler replaces it before it calls that."""

    tags = {"reasoning"}  # noqa: RUF012

    def parse(self, parser: Parser) -> jinja.Node:
        """Return a node that holds both branches."""
        next(parser.stream)
        body = parser.parse_statements(("name:else", "name:endreasoning"))
        if next(parser.stream).value == "else":
            body += parser.parse_statements(("name:endreasoning",), drop_needle=True)
        return jinja.With([], [], body)


DIALECT = TemplateEnvironment()
DIALECT.add_extension(ReasoningTag)


# -- properties


def check_ranges(tree: Tree) -> None:
    """The leaves, joined, are the source; the ranges of nodes nest, are ordered and begin and end with leaves."""
    assert "".join(tree.source[leaf.start : leaf.end] for leaf in tree.leaves) == tree.source
    edges = {edge for leaf in tree.leaves for edge in (leaf.start, leaf.end)} | {0, len(tree.source)}
    for node in tree.everything:
        position = node.start
        for child in node.children:
            assert child.parent is node
            assert position <= child.start <= child.end <= node.end
            position = child.end
        assert {node.start, node.end} <= edges or isinstance(node, (Text, nodes.Tuple))


def check_expressions(tree: Tree) -> None:
    """Every expression that Jinja parses is parsed into the same structure."""
    source = plain_delimiters(normalize_newlines(tree.source))
    try:
        parsed = DIALECT.parse(source)
    except TemplateSyntaxError:
        return
    assert [_ours(node) for node in tree.everything if isinstance(node, (Output, Tag)) and node.children] == list(
        _jinjas(parsed)
    )


def _jinjas(node: jinja.Node) -> Iterator[Any]:
    """The expressions of each output and tag in Jinja's tree, in the order of the source."""
    if isinstance(node, jinja.Output):
        for part in node.nodes:
            if not isinstance(part, jinja.TemplateData):
                yield [_plain(part)]
        return
    own: list[Any] | None = None
    if isinstance(node, jinja.For):
        own = [node.target, node.iter, *([node.test] if node.test else [])]
    elif isinstance(node, jinja.If):
        own = [node.test]
    elif isinstance(node, jinja.Assign):
        own = [node.target, node.node]
    elif isinstance(node, jinja.AssignBlock):
        own = [node.target, *([node.filter] if node.filter else [])]
    elif isinstance(node, jinja.Macro):
        yield [("name", node.name), *_signature(node)]
    elif isinstance(node, jinja.CallBlock):
        yield [*_signature(node), _plain(node.call)]
    elif isinstance(node, jinja.FilterBlock):
        own = [node.filter]
    elif isinstance(node, jinja.With) and node.targets:
        own = [part for pair in zip(node.targets, node.values, strict=True) for part in pair]
    if own is not None:
        yield [_plain(part) for part in own]
    bodies = ("body",) if isinstance(node, jinja.FilterBlock) else ("body", "elif_", "else_")
    for body in bodies:
        for child in getattr(node, body, ()):
            yield from _jinjas(child)


def _signature(node: jinja.Macro | jinja.CallBlock) -> list[Any]:
    first = len(node.args) - len(node.defaults)
    return [
        ("name", arg.name) if number < first else ("keyword", arg.name, _plain(node.defaults[number - first]))
        for number, arg in enumerate(node.args)
    ]


def _plain(node: Any) -> Any:
    """An expression of Jinja's as tuples."""
    match node:
        case None | str() | int():
            return node
        case jinja.Name():
            return "name", node.name
        case jinja.NSRef():
            return "attribute", ("name", node.name), node.attr
        case jinja.Const():
            return "constant", repr(node.value)
        case jinja.Getattr():
            return "attribute", _plain(node.node), node.attr
        case jinja.Getitem():
            return "subscript", _plain(node.node), _plain(node.arg)
        case jinja.Slice():
            return "slice", _plain(node.start), _plain(node.stop), _plain(node.step)
        case jinja.Call():
            return "call", _plain(node.node), _arguments(node)
        case jinja.Filter():
            return "filter", _plain(node.node), node.name, _arguments(node)
        case jinja.Test():
            return "test", _plain(node.node), node.name, _arguments(node)
        case jinja.Not():
            return "not", _plain(node.node)
        case jinja.Neg() | jinja.Pos():
            return node.operator, _plain(node.node)
        case jinja.And() | jinja.Or():
            return type(node).__name__.lower(), _plain(node.left), _plain(node.right)
        case jinja.Concat():
            return "~", *map(_plain, node.nodes)
        case jinja.BinExpr():
            return node.operator, _plain(node.left), _plain(node.right)
        case jinja.Compare():
            ops = [part for op in node.ops for part in (_OPERATORS.get(op.op, op.op), _plain(op.expr))]
            return "compare", _plain(node.expr), *ops
        case jinja.CondExpr():
            return "if", _plain(node.expr1), _plain(node.test), _plain(node.expr2)
        case jinja.List() | jinja.Tuple():
            return type(node).__name__.lower(), *map(_plain, node.items)
        case jinja.Dict():
            return "dict", *((_plain(pair.key), _plain(pair.value)) for pair in node.items)
        case jinja.Keyword():
            return "keyword", node.key, _plain(node.value)
    raise AssertionError(f"Jinja has {node!r}")


_OPERATORS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "notin": "not in"}


def _arguments(node: Any) -> Any:
    starred = [("*", node.dyn_args), ("**", node.dyn_kwargs)]
    given = [_plain(part) for part in (*node.args, *node.kwargs)]
    return sorted([*given, *((sign, _plain(part)) for sign, part in starred if part is not None)], key=repr)


def _ours(node: Any) -> Any:
    """An expression of ours as the same tuples; of a tag or an output, all of them."""

    def folded(operator: str, items: tuple[Any, ...]) -> Any:
        first, *others = map(_ours, items)
        for other in others:
            first = (operator, first, other)
        return first

    match node:
        case None:
            return None
        case Tag() | Output():
            return [_ours(part) for part in node.children]
        case nodes.Group():
            return _ours(node.inside)
        case nodes.Name():
            return "name", node.name
        case nodes.Constant():
            return "constant", repr(node.value)
        case nodes.Attribute():
            return "attribute", _ours(node.value), node.name
        case nodes.Subscript():
            return "subscript", _ours(node.value), _ours(node.index)
        case nodes.Slice():
            return "slice", _ours(node.lower), _ours(node.upper), _ours(node.step)
        case nodes.Call():
            return "call", _ours(node.function), sorted(map(_ours, node.arguments), key=repr)
        case nodes.Filter():
            return "filter", _ours(node.value), node.name, sorted(map(_ours, node.arguments), key=repr)
        case nodes.Test():
            found = "test", _ours(node.value), node.name, sorted(map(_ours, node.arguments), key=repr)
            return ("not", found) if node.negated else found
        case nodes.Unary():
            return node.operator, _ours(node.operand)
        case nodes.Logical():
            return folded(node.operator, node.items)
        case nodes.Concat():
            return "~", *map(_ours, node.items)
        case nodes.Binary():
            return node.operator, _ours(node.left), _ours(node.right)
        case nodes.Comparison():
            first, *others = map(_ours, node.items)
            pairs = zip(node.operators, others, strict=True)
            return "compare", first, *(part for pair in pairs for part in pair)
        case nodes.Conditional():
            return "if", _ours(node.value), _ours(node.test), _ours(node.otherwise)
        case nodes.List() | nodes.Tuple():
            return type(node).__name__.lower(), *map(_ours, node.items)
        case nodes.Dict():
            return "dict", *((_ours(pair.name), _ours(pair.value)) for pair in node.items)
        case nodes.Keyword():
            return "keyword", node.name, _ours(node.value)
        case nodes.Starred():
            return node.operator, _ours(node.value)
    return type(node).__name__


def check(source: str) -> None:
    tree = parse(source)
    check_ranges(tree)
    check_expressions(tree)


@pytest.mark.upstream
def test_the_tree_of_every_template_of_the_hub_covers_it_and_has_jinjas_structure() -> None:
    sources = hub_templates()
    assert len(sources) == 786
    for source in sources.values():
        check(source)
        assert not parse(source).nodes(nodes.Invalid)
    check(next(iter(sources.values())).replace("\n", "\r\n"))


@pytest.mark.parametrize("name", family_names())
def test_the_tree_of_a_family_covers_it_and_has_jinjas_structure(name: str) -> None:
    check(load_family(name).template_source.text)


PIECES = st.sampled_from(
    [
        *("{% if a %}", "{%- if a -%}", "{%+ if a +%}", "{% endif %}", "{%- endif -%}", "{% else %}", "{% elif b %}"),
        *("{% for m in messages if m %}", "{%- for a, b in c -%}", "{% endfor %}", "{% break %}", "{%- continue %}"),
        *("{% generation %}", "{% endgeneration %}", "<% generation %>", "<%- endgeneration -%>", "<%+ generation%>"),
        *("{% reasoning %}", "{%- endreasoning -%}", "{% set x = 1 %}", "{% set y %}", "{% set y | f(a=1) %}"),
        *("{% endset %}", "{% macro f(a, b=1) %}", "{% endmacro %}", "{% call f(1) %}", "{% endcall %}"),
        *("{% filter trim %}", "{% endfilter %}", "{% with a = 1, b = 2 %}", "{% endwith %}", "{% foo %}"),
        *("{# c\n #}", "{#- c -#}", "{##}", "{% raw %}", "{%- raw -%}", "{% endraw %}", "{%- endraw -%}\n"),
        *("{{ a }}", "{{- a -}}", "{{ 'x\n\n y' }}", "{{}}", "{{ a b }}", " ", "\n", "\r\n", "\r", "\t", "\x0b"),
        *("\x0c", "\x85", "\u2028", "\xa0", "a", "é🎈", "{", "}", "%", "#", "\n\n  "),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_tree_of_a_made_source_covers_it_wherever_jinjas_lexer_accepts_it(source: str) -> None:
    try:
        tree = parse(source)
    except TemplateSyntaxError:
        with pytest.raises(TemplateSyntaxError):
            list(ENVIRONMENT.lex(plain_delimiters(normalize_newlines(source))))
    else:
        check_ranges(tree)
        check_expressions(tree)


ATOMS = st.sampled_from(
    ["a", "b.c", "m['x']", "1", "2.5", "'s'", '"t"', "true", "none", "[]", "{}", "()", "a.0", "'a' 'b'"]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(
        [*"+-~*/%<>", "**", "//", "==", "!=", "<=", ">=", "and", "or", "in", "not in", ",", " if a else "]
    )
    after = st.sampled_from(
        [
            *("|trim", "|join(', ')|list", "|f(a, b=1, *c, **d)", " is defined", " is not none", " is divisibleby 3"),
            *(".x", "[0]", "[1:]", "[::-1]", "[a:b, c]", "(a, b=1)", "()", ".strip('x')", " is in [1]", " if a"),
        ]
    )
    around = st.sampled_from(["(@)", "[@]", "[@, a]", "not @", "-@", "+@", "f(@)", "{'k': @}", "(@,)"])
    return (
        st.tuples(inner, operators, inner).map(" ".join)
        | st.tuples(inner, after).map("".join)
        | st.tuples(around, inner).map(lambda pair: pair[0].replace("@", pair[1]))
    )


@given(st.recursive(ATOMS, _grown, max_leaves=12))
def test_a_made_expression_has_jinjas_structure(expression: str) -> None:
    for source in (f"{{{{ {expression} }}}}", f"{{% set x = {expression} %}}", f"{{% if {expression} %}}{{% endif %}}"):
        check(source)


# -- examples


def test_blocks_have_branches_and_tags_that_close_nothing_have_none() -> None:
    tree = parse("{% if a %}x{% elif b %}y{% else %}z{% endif %}{% endfor %}{% for m in l %}{% set x = 1 %}")
    block, *others = tree.body
    assert isinstance(block, Block)
    assert [(branch.tag.name, branch.tag.body) for branch in block.branches] == [
        ("if", "a"),
        ("elif", "b"),
        ("else", ""),
    ]
    assert [[item.text for item in body] for body in block.bodies] == [["x"], ["y"], ["z"]]
    assert [item.name for item in others if isinstance(item, Tag)] == ["endfor", "for", "set"]


def test_a_set_block_is_told_from_an_assignment_by_its_outermost_equals_sign() -> None:
    tree = parse("{% set x | f(a=1) %}t{% set y = 2 %}{% endset %}")
    block = tree.body[0]
    assert isinstance(block, Block)
    assert block.opening.targets == ("x",)
    assert [item.text for item in block.bodies[0]] == ["t", "{% set y = 2 %}"]


def test_both_spellings_of_the_generation_tag_and_reasoning_tags_are_blocks() -> None:
    source = "<%- generation %>{%+ reasoning -%}a{% else %}b{% endreasoning %}<% endgeneration +%>"
    tree = parse(source)
    (block,) = tree.blocks("generation")
    assert (block.opening.text, block.opening.left, block.closing.right) == ("<%- generation %>", "-", "+")
    assert [branch.tag.name for branch in tree.blocks("reasoning")[0].branches] == ["reasoning", "else"]


def test_authoring_delimiters_in_comments_strings_and_raw_blocks_are_no_tags() -> None:
    source = "{# <% generation %> #}{{ '<% generation %>' }}{% raw %}<% generation %>{% endraw %}"
    assert parse(source).tags == []


def test_white_space_that_is_trimmed_is_a_leaf_and_stands_in_no_text() -> None:
    tree = parse("a  {%- if x -%}  b\n   {% endif %}\nc\n")
    assert [(leaf.kind, tree.source[leaf.start : leaf.end]) for leaf in tree.leaves if leaf.kind == "trimmed"] == [
        ("trimmed", "  "),
        ("trimmed", "  "),
        ("trimmed", "   "),
        ("trimmed", "\n"),
        ("trimmed", "\n"),
    ]
    assert [node.value for node in tree.nodes(Text)] == ["a", "b\n", "c"]


def test_raw_blocks_hold_text_and_their_tags_are_not_among_those_of_the_tree() -> None:
    tree = parse("{%- raw -%} {{ a }} {% endraw %}x{# c #}")
    raw, text, comment = tree.body
    assert isinstance(raw, Raw)
    assert isinstance(text, Text)
    assert isinstance(comment, Comment)
    assert [(type(part), part.text) for part in raw.parts] == [
        *((Tag, "{%- raw -%}"), (Text, "{{ a }} "), (Tag, "{% endraw %}"))
    ]
    assert [text.raw for text in tree.nodes(Text)] == [True, False]
    assert (tree.tags, comment.value) == ([], " c ")


def test_the_clauses_of_a_tag_are_expressions_with_roles() -> None:
    tree = parse("{% for a, b in c.d if e %}{% endfor %}{% set n.x = y %}{% with p = 1, q = 2 %}{% endwith %}")
    loop, assignment, scope = (tag for tag in tree.tags if not tag.closes)
    assert loop.targets == ("a", "b")
    assert [node.text for node in (loop.value, loop.condition) if node] == ["c.d", "e"]
    assert (assignment.targets, assignment.target and assignment.target.text) == ((), "n.x")
    assert scope.targets == ("p", "q")


def test_what_is_no_expression_is_one_invalid_node_and_the_rest_of_the_tree_stands() -> None:
    tree = parse("{{ a b }}{% if %}x{% endif %}{{ c }}")
    assert [node.text for node in tree.nodes(nodes.Invalid)] == ["a b"]
    assert [node.name for node in tree.variables] == ["c"]


def test_operands_are_what_plus_and_tilde_join_through_parentheses() -> None:
    tree = parse("{{ a + ('b' ~ (c if d else e)) + f - g * h }}{{ a + ('b' ~ (c if d else e)) + f | trim }}")
    first, second = tree.nodes(Output)
    assert [node.text for node in first.operands] == ["a + ('b' ~ (c if d else e)) + f - g * h"]
    assert [(node.text, node.enclosed) for node in second.operands] == [
        ("a", False),
        ("'b'", True),
        ("c if d else e", True),
        ("f | trim", False),
    ]


def test_an_offset_leads_to_the_innermost_node_and_from_there_outwards() -> None:
    source = "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"
    node = parse(source).at(source.index("content"))
    assert isinstance(node, nodes.Constant)
    assert [type(parent).__name__ for parent in node.parents] == [
        *("Subscript", "Filter", "Output", "Branch", "Block", "Tree")
    ]


def test_edits_on_nodes_change_nothing_around_them() -> None:
    source = "{%- set x = a + b -%}  {# why #}\n{{- x }}"
    tree = parse(source)
    left, right = (name for name in tree.variables if name.name in "ab")
    edits = [*left.wrap("(", " | trim)"), right.replace("c"), tree.nodes(Comment)[0].delete()]
    assert apply_edits(source, edits).text == "{%- set x = (a | trim) + c -%}  \n{{- x }}"
    edits = [left.insert_before("z + "), right.insert_after(" ~ y")]
    assert apply_edits(source, edits).text == source.replace("a + b", "z + a + b ~ y")


@pytest.mark.upstream
def test_parsing_takes_less_time_than_jinjas_lexer_takes_to_read_the_same_source() -> None:
    source = max(hub_templates().values(), key=len)
    lexed = fastest(lambda: list(ENVIRONMENT.lexer.scan(source)))
    assert fastest(lambda: Tree(source)) < 2 * lexed
