"""Constructs that engines are known to treat differently, each with an alternative way to write it.

The alternative either has the same meaning in every engine, or makes Jinja2 do what the engine does. If the two engines
agree after the rewrite, the construct was the cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chattmpl.compare.code import Code
from chattmpl.syntax.edits import Edit
from chattmpl.syntax.items import Comment, Output, Tag
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
    Keyword,
    Logical,
    Node,
    Test,
    Unary,
)


@dataclass(frozen=True)
class Site:
    """Character range of a construct, and the edits that rewrite it (empty if it cannot be rewritten)."""

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
    """Return the text of an expression, in parentheses if a neighbouring operator could bind tighter."""
    loose = isinstance(node, (Binary, Concat, Comparison, Conditional, Logical, Test, Unary))
    return f"({node.text})" if loose else node.text


def _instead(node: Expression, write: str) -> Site:
    """Return the site of a construct with its replacement, in which ``{0}`` is the construct's own text."""
    return _site(node, node.replace(write.replace("{0}", _operand(node))))


def _methods(code: Code, *names: str) -> Iterator[Call]:
    """Yield the calls of methods."""
    for call in code.tree.nodes(Call):
        if call.method is not None and (not names or call.method in names):
            yield call


def _filters(code: Code, *names: str) -> Iterator[tuple[Filter, Expression]]:
    """Yield the uses of filters, each with its operand."""
    for node in code.tree.nodes(Filter):
        if node.name in names and node.value is not None:
            yield node, node.value


# -- constructs that change the text


def strips(code: Code, _: str) -> Iterator[Site]:
    """Yield calls of ``strip``, ``lstrip`` and ``rstrip`` with an argument; the rewrite drops the argument."""
    for call in _methods(code, "strip", "lstrip", "rstrip"):
        if call.arguments:
            yield _called(call, Edit(call.open + 1, call.end - 1, ""))


def as_strings(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``string``; the rewrite writes values that are not strings as JSON."""
    for node, value in _filters(code, "string"):
        inner = value.text
        yield _named(node, node.replace(f"({inner} if {inner} is string else {inner} | tojson)"))


def outputs(code: Code, _: str) -> Iterator[Site]:
    """Yield outputs, assigned values and their operands; the rewrite writes values that are not strings as JSON."""
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
    """Yield uses of ``safe``; the rewrite removes them."""
    return _without(code, "safe")


def escapes(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``escape``; the rewrite removes them."""
    return _without(code, "e", "escape", "forceescape")


def _without(code: Code, *names: str) -> Iterator[Site]:
    for node, value in _filters(code, *names):
        yield _named(node, Edit(value.end, node.end, ""))


def sequences(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of the test ``sequence``; the rewrite accepts strings explicitly."""
    return _spelt_out(code, "sequence", "or {0} is string")


def iterables(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of the test ``iterable``; the rewrite excludes ``none``."""
    return _spelt_out(code, "iterable", "and {0} is not none")


def _spelt_out(code: Code, test: str, rest: str) -> Iterator[Site]:
    for node in code.tree.nodes(Test):
        if node.name == test:
            value = node.value.text
            write = f"({value} is {test} {rest.replace('{0}', value)})"
            yield _site(node, node.replace(f"(not {write})" if node.negated else write))


def trims(code: Code, _: str) -> Iterator[Site]:
    """Yield filters and methods that strip white space."""
    for node, _value in _filters(code, "trim"):
        yield _named(node)
    for call in _methods(code, "strip", "lstrip", "rstrip"):
        yield _called(call)


def json(code: Code, _: str) -> Iterator[Site]:
    """Yield filters and outputs that may write numbers or objects."""
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
    """Yield tags whose white space only ``trim_blocks`` and ``lstrip_blocks`` remove; the rewrite deletes it."""
    tags: list[Node] = [piece for piece in code.pieces if isinstance(piece, Tag)]
    for node in sorted([*tags, *code.tree.nodes(Comment)], key=lambda node: node.start):
        edits = []
        start, end = node.start, node.end
        line = code.text.rfind("\n", 0, start) + 1
        if code.text[start + 2] not in "-+" and line < start and not code.text[line:start].strip():
            edits.append(Edit(line, start, ""))
        if code.text[end - 3] not in "-+" and code.text[end : end + 1] == "\n":
            # The sign keeps Jinja2 from trimming the next newline as well.
            edits += [Edit(end - 2, end - 2, "+"), Edit(end, end + 1, "")]
        if edits:
            yield _site(node, *edits)


# -- constructs that make an engine fail


def json_options(code: Code, option: str) -> Iterator[Site]:
    """Yield the filters ``tojson`` with an option; the rewrite removes it."""
    for node, _value in _filters(code, "tojson"):
        kept = [one.text for one in node.arguments if not (isinstance(one, Keyword) and one.name == option)]
        if len(kept) < len(node.arguments):
            words = f"({', '.join(kept)})" if kept else ""
            yield _site(node, Edit(node.name_start + len(node.name), node.end, words))


def generation(code: Code, _: str) -> Iterator[Site]:
    """Yield generation tags; the rewrite is a condition that is always true."""
    for tag in code.tree.tags:
        if tag.name in ("generation", "endgeneration"):
            start, _kind, word = tag.tokens[0]
            yield _site(tag, Edit(start, start + len(word), "if true" if tag.name == "generation" else "endif"))


def plus_signs(code: Code, _: str) -> Iterator[Site]:
    """Yield tags that begin with a ``+``; the rewrite removes it."""
    for piece in code.pieces:
        if piece.left == "+":
            yield _site(piece, Edit(piece.start + 2, piece.start + 3, ""))


def tags(code: Code, name: str) -> Iterator[Site]:
    """Yield tags of a name; the rewrite of a ``with`` that sets nothing is a condition that is always true."""
    for piece in code.pieces:
        if isinstance(piece, Tag) and piece.name in (name, f"end{name}"):
            start, _kind, word = piece.tokens[0]
            plain = "if true" if piece.name == name else "endif"
            edit = Edit(start, start + len(word), plain)
            rewritable = name == "with" and (piece.name != name or len(piece.tokens) == 1)
            yield _site(piece, *([edit] if rewritable else []))


def loops(code: Code, _: str) -> Iterator[Site]:
    """Yield the values that loops iterate over; the rewrite iterates over nothing if the value is not a list."""
    for tag in code.tree.tags:
        if tag.name == "for" and tag.value is not None:
            yield _instead(tag.value, "({0} if {0} is defined and {0} is not string and {0} is not none else [])")


_OF_TEXT = frozenset({"trim", "upper", "lower", "capitalize", "title", "replace", "indent", "string", "safe"})


def filtered(code: Code, name: str) -> Iterator[Site]:
    """Yield uses of a filter; the rewrite applies it to an empty value if the operand has another type."""
    for node, value in _filters(code, name):
        inner, rest = value.text, code.text[value.end : node.end].strip()
        guarded = f"({inner} if {inner} is string else '')" if name in _OF_TEXT else f"({inner} or [])"
        yield _named(node, node.replace(f"({guarded} {rest})"))


def length(code: Code, _: str) -> Iterator[Site]:
    """Yield uses of ``length``; the rewrite measures an empty list if there is no value."""
    yield from filtered(code, "length")
    yield from filtered(code, "count")


def operators(code: Code, operator: str) -> Iterator[Site]:
    """Yield uses of an operator, with its operands."""
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
    """Yield uses of ``in``; the rewrite replaces undefined operands with empty ones."""
    for node in code.tree.nodes(Comparison):
        for number, operator in enumerate(node.operators):
            if operator in ("in", "not in"):
                left, right = node.items[number], node.items[number + 1]
                edits = (left.replace(f"({left.text} or '')"), right.replace(f"({right.text} or [])"))
                yield Site(left.start, right.end, edits)


def calls(code: Code, _: str) -> Iterator[Site]:
    """Yield calls of methods; the rewrite of ``format`` on a constant joins its parts."""
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
    """Yield keys of objects that are numbers; the rewrite makes them strings."""
    for node in code.tree.nodes(Dict):
        for pair in node.items:
            if isinstance(pair.name, Constant) and type(pair.name.value) is int:
                yield _site(pair.name, pair.name.replace(f"'{pair.name.text}'"))
