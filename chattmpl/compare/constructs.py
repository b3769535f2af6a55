"""Constructs in a template, each with another way to write it: what the known differences of engines are about.

The other way is one that all engines read alike, or one that shows Jinja2 what the engine takes the construct for. If
the two agree once it is written so, the construct was the cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chattmpl.compare.code import Code
from chattmpl.syntax.edits import Edit
from chattmpl.syntax.nodes import (
    Attribute,
    Binary,
    Call,
    Comparison,
    Concat,
    Conditional,
    Constant,
    Dict,
    Expression,
    Filter,
    Logical,
    Node,
    Test,
    Unary,
)
from chattmpl.syntax.tree import Comment, Output, Tag


@dataclass(frozen=True)
class Site:
    """A construct: its character range, and the edits that write it in another way (none if there is no other way)."""

    start: int
    end: int
    edits: tuple[Edit, ...] = ()


def _site(node: Node, *edits: Edit) -> Site:
    return Site(node.start, node.end, edits)


def _named(node: Filter | Test, *edits: Edit) -> Site:
    """Return the site from the name of a filter or a test to its end."""
    return Site(node.name_start, node.end, edits)


def _called(call: Call, *edits: Edit) -> Site:
    """Return the site from the name of a method to the end of its call."""
    function = call.function
    return Site(function.name_start if isinstance(function, Attribute) else call.start, call.end, edits)


def _operand(node: Expression) -> str:
    """Return the text of an expression, in parentheses where the operators beside it would bind tighter."""
    loose = isinstance(node, (Binary, Concat, Comparison, Conditional, Logical, Test, Unary))
    return f"({node.text})" if loose else node.text


def _instead(node: Expression, write: str) -> Site:
    """Return a construct with what to write in its place, where ``{0}`` is its own text."""
    return _site(node, node.replace(write.replace("{0}", _operand(node))))


def _methods(code: Code, *names: str) -> Iterator[Call]:
    """Yield the calls of methods."""
    for call in code.tree.nodes(Call):
        if call.method is not None and (not names or call.method in names):
            yield call


def _filters(code: Code, *names: str) -> Iterator[tuple[Filter, Expression]]:
    """Yield the uses of filters, each with what is filtered."""
    for node in code.tree.nodes(Filter):
        if node.name in names and node.value is not None:
            yield node, node.value


# -- what shows in the text


def strips(code: Code, _: str) -> Iterator[Site]:
    """Yield calls of ``strip`` and its like with an argument; otherwise: without."""
    for call in _methods(code, "strip", "lstrip", "rstrip"):
        if call.arguments:
            yield _called(call, Edit(call.open + 1, call.end - 1, ""))


def as_strings(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``string``; otherwise: JSON for what is no string."""
    for node, value in _filters(code, "string"):
        inner = value.text
        yield _named(node, node.replace(f"({inner} if {inner} is string else {inner} | tojson)"))


def outputs(code: Code, _: str) -> Iterator[Site]:
    """Yield what is written or set, and the parts that are joined; otherwise: JSON for what is no string."""
    for piece in code.pieces:
        assigned = piece.value if isinstance(piece, Tag) and piece.name == "set" else None
        value = piece.expression if isinstance(piece, Output) else assigned
        if value is None:
            continue
        parts = value.joined
        for node in (value, *(parts if len(parts) > 1 else ())):
            if code.text[node.start] not in "'\"" and not code.text[node.start].isdigit():
                write = f"(({node.text}) if ({node.text}) is string else ({node.text}) | tojson)"
                yield _site(node, node.replace(write))


def safe(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``safe``; otherwise: without."""
    return _without(code, "safe")


def escapes(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``escape``; otherwise: without."""
    return _without(code, "e", "escape", "forceescape")


def _without(code: Code, *names: str) -> Iterator[Site]:
    for node, value in _filters(code, *names):
        yield _named(node, Edit(value.end, node.end, ""))


def sequences(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of the test ``sequence``; otherwise: strings named."""
    return _spelt_out(code, "sequence", "or {0} is string")


def iterables(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of the test ``iterable``; otherwise: none excluded."""
    return _spelt_out(code, "iterable", "and {0} is not none")


def _spelt_out(code: Code, test: str, rest: str) -> Iterator[Site]:
    for node in code.tree.nodes(Test):
        if node.name == test:
            value = node.value.text
            write = f"({value} is {test} {rest.replace('{0}', value)})"
            yield _site(node, node.replace(f"(not {write})" if node.negated else write))


def trims(code: Code, _: str) -> Iterator[Site]:
    """Yield what strips white space."""
    for node, _value in _filters(code, "trim"):
        yield _named(node)
    for call in _methods(code, "strip", "lstrip", "rstrip"):
        yield _called(call)


def json(code: Code, _: str) -> Iterator[Site]:
    """Yield what writes numbers and objects."""
    for node, _value in _filters(code, "tojson", "string"):
        yield _named(node)
    for piece in code.pieces:
        if isinstance(piece, Output) and piece.expression is not None:
            yield _site(piece.expression)


def lengths(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``length``."""
    for node, _value in _filters(code, "length", "count"):
        yield _named(node)


def untrimmed(code: Code, _: str) -> Iterator[Site]:
    """Yield tags whose white space only trim_blocks and lstrip_blocks take away."""
    tags: list[Node] = [piece for piece in code.pieces if isinstance(piece, Tag)]
    for node in sorted([*tags, *code.tree.nodes(Comment)], key=lambda node: node.start):
        edits = []
        start, end = node.start, node.end
        line = code.text.rfind("\n", 0, start) + 1
        if code.text[start + 2] not in "-+" and line < start and not code.text[line:start].strip():
            edits.append(Edit(line, start, ""))
        if code.text[end - 3] not in "-+" and code.text[end : end + 1] == "\n":
            # The sign keeps Jinja2 from taking the next newline for the one that it trims.
            edits += [Edit(end - 2, end - 2, "+"), Edit(end, end + 1, "")]
        if edits:
            yield _site(node, *edits)


# -- what the engine fails on


def generation(code: Code, _: str) -> Iterator[Site]:
    """Yield generation tags; otherwise: a condition that is true."""
    for tag in code.tree.tags:
        if tag.name in ("generation", "endgeneration"):
            start, _kind, word = tag.tokens[0]
            yield _site(tag, Edit(start, start + len(word), "if true" if tag.name == "generation" else "endif"))


def plus_signs(code: Code, _: str) -> Iterator[Site]:
    """Yield tags that begin with a ``+``; otherwise: without."""
    for piece in code.pieces:
        if piece.left == "+":
            yield _site(piece, Edit(piece.start + 2, piece.start + 3, ""))


def tags(code: Code, name: str) -> Iterator[Site]:
    """Yield tags of a name; otherwise, for ``with`` that sets nothing: a condition that is true."""
    for piece in code.pieces:
        if isinstance(piece, Tag) and piece.name in (name, f"end{name}"):
            start, _kind, word = piece.tokens[0]
            plain = "if true" if piece.name == name else "endif"
            edit = Edit(start, start + len(word), plain)
            rewritable = name == "with" and (piece.name != name or len(piece.tokens) == 1)
            yield _site(piece, *([edit] if rewritable else []))


def loops(code: Code, _: str) -> Iterator[Site]:
    """Yield what loops go over; otherwise: nothing, where it is no list."""
    for tag in code.tree.tags:
        if tag.name == "for" and tag.value is not None:
            yield _instead(tag.value, "({0} if {0} is defined and {0} is not string and {0} is not none else [])")


_OF_TEXT = frozenset({"trim", "upper", "lower", "capitalize", "title", "replace", "indent", "string", "safe"})


def filtered(code: Code, name: str) -> Iterator[Site]:
    """Yield uses of a filter; otherwise: on nothing, where the value is of another type."""
    for node, value in _filters(code, name):
        inner, rest = value.text, code.text[value.end : node.end].strip()
        guarded = f"({inner} if {inner} is string else '')" if name in _OF_TEXT else f"({inner} or [])"
        yield _named(node, node.replace(f"({guarded} {rest})"))


def length(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``length``; otherwise: that of nothing, where there is no value."""
    yield from filtered(code, "length")
    yield from filtered(code, "count")


def operators(code: Code, operator: str) -> Iterator[Site]:
    """Yield uses of an operator, with the operands beside it."""
    for piece in code.pieces:
        for offset, kind, word in piece.tokens:
            if kind == "operator" and word == operator:
                children = code.tree.at(offset).children
                left = [child for child in children if child.end <= offset]
                right = [child for child in children if child.start > offset]
                if left and right:
                    yield Site(_last_operand(left[-1]).start, right[0].end)


def _last_operand(node: Node) -> Node:
    while isinstance(node, Binary):
        node = node.right
    return node


def membership(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``in``; otherwise: nothing in place of what is undefined."""
    for node in code.tree.nodes(Comparison):
        for number, operator in enumerate(node.operators):
            if operator in ("in", "not in"):
                left, right = node.items[number], node.items[number + 1]
                edits = (left.replace(f"({left.text} or '')"), right.replace(f"({right.text} or [])"))
                yield Site(left.start, right.end, edits)


def calls(code: Code, _: str) -> Iterator[Site]:
    """Yield calls of methods; otherwise, for ``format`` of a constant: its parts, joined."""
    for call in _methods(code):
        yield _called(call, *_formatted(code, call))


def _formatted(code: Code, call: Call) -> tuple[Edit, ...]:
    """Write ``'a{}b'.format(x)`` as ``('a' ~ x ~ 'b')``."""
    constant = call.function.children[0]
    if call.method != "format" or not isinstance(constant, Constant) or constant.string is None or not call.arguments:
        return ()
    quote, parts = constant.text[0], constant.text[1:-1].split("{}")
    if len(parts) != 2 or any(sign in "".join(parts) for sign in "{}"):
        return ()
    argument = code.text[call.open + 1 : call.end - 1]
    return (call.replace(f"({quote}{parts[0]}{quote} ~ ({argument}) ~ {quote}{parts[1]}{quote})"),)


def number_keys(code: Code, _: str) -> Iterator[Site]:
    """Yield keys of objects that are numbers; otherwise: strings."""
    for node in code.tree.nodes(Dict):
        for pair in node.items:
            if isinstance(pair.name, Constant) and type(pair.name.value) is int:
                yield _site(pair.name, pair.name.replace(f"'{pair.name.text}'"))
