"""What a template reads: which variables can be passed to it, and what text is its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import inf
from typing import TypeVar

from jinja2 import Environment, nodes

from chattmpl.syntax.lexer import Line

_Node = TypeVar("_Node", bound=nodes.Node)
_IN_MACROS = frozenset({"caller", "kwargs", "varargs"})
_IN_LOOPS = frozenset({"loop"})
_BINDING = (nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.CallBlock, nodes.For, nodes.With)


def read_variables(tree: nodes.Template, environment: Environment) -> frozenset[str]:
    """The variables that a caller can pass: those that are read before the template sets them, if it ever does."""
    return _unset(tree, frozenset()) - {"self", *environment.globals}


def _unset(node: nodes.Node, bound: frozenset[str]) -> frozenset[str]:
    """The names that are read in a node before they are set in it."""
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    for child in children(node):
        for name, offset, stored in _names(child, bound):
            known = written if stored else read
            known[name] = min(offset, known.get(name, offset))
    return frozenset(name for name, offset in read.items() if name not in written or offset <= written[name])


def own_text(found: list[nodes.Node]) -> Iterator[str]:
    """The text between the tags of a template, and its string constants, from all its nodes."""
    for node in found:
        if isinstance(node, nodes.TemplateData):
            yield node.data
    for node in found:
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value:
            yield node.value


def descendants(node: nodes.Node) -> list[nodes.Node]:
    """All nodes in a node, in the order of the source; faster than Jinja's ``find_all``, by far in deep trees."""
    found: list[nodes.Node] = []
    waiting = children(node)[::-1]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += reversed(children(node))
    return found


def copied(node: _Node) -> _Node:
    """A node with all that is in it, for code that changes what it is given."""
    made = object.__new__(type(node))
    made.__dict__.update(node.__dict__)
    for field in _node_fields(type(node)):
        value = getattr(node, field, None)
        if type(value) is list:
            setattr(made, field, [copied(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(made, field, copied(value))
    return made


def children(node: nodes.Node) -> list[nodes.Node]:
    """The nodes directly in a node."""
    found: list[nodes.Node] = []
    values = node.__dict__
    for field in _node_fields(type(node)):
        value = values.get(field)
        if type(value) is list:
            found += [item for item in value if isinstance(item, nodes.Node)]
        elif isinstance(value, nodes.Node):
            found.append(value)
    return found


@cache
def _node_fields(kind: type[nodes.Node]) -> tuple[str, ...]:
    """The fields of a kind of node that can hold nodes."""
    return tuple(field for field in kind.fields if field not in ("name", "attr", "data", "ctx", "op"))


def _names(node: nodes.Node, bound: frozenset[str]) -> Iterator[tuple[str, float, bool]]:
    """The names that are read and written, as (name, offset, whether written), without those that a scope binds."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if type(node) is nodes.Name:
            if node.ctx == "load" and node.name not in bound:
                yield node.name, _offset(node), False
        elif isinstance(node, _BINDING):
            yield from _names_bound(node, bound)
        else:
            waiting += children(node)


def _names_bound(node: nodes.Node, bound: frozenset[str]) -> Iterator[tuple[str, float, bool]]:
    """As `_names`, for a node that gives names to what is inside of it, or sets some."""
    if isinstance(node, (nodes.Assign, nodes.AssignBlock)):
        # What an assignment reads, it reads before it writes: `{% set x = x | default(1) %}`.
        last = max((_offset(inner) for inner in descendants(node) if isinstance(inner, nodes.Expr)), default=0)
        yield from ((name, last, True) for name in targets(node.target))
    elif isinstance(node, nodes.Macro):
        yield node.name, -1, True
    inner = bound | frozenset(_binds(node))
    if isinstance(node, nodes.Macro):
        # It is called later, when what is set behind it is set.
        yield from ((name, inf, False) for name in _unset(node, inner))
        return
    outside = {id(child) for child in (node.iter, *node.else_)} if isinstance(node, nodes.For) else set()
    for child in children(node):
        yield from _names(child, bound if id(child) in outside else inner)


def _binds(node: nodes.Node) -> Iterator[str]:
    """The names that a node gives to what is inside of it."""
    if isinstance(node, nodes.For):
        yield from _IN_LOOPS
        yield from targets(node.target)
    elif isinstance(node, (nodes.Macro, nodes.CallBlock)):
        yield from _IN_MACROS
        yield from (argument.name for argument in node.args)
    elif isinstance(node, nodes.With):
        for target in node.targets:
            yield from targets(target)


def targets(target: nodes.Node) -> Iterator[str]:
    """The variables that an assignment sets; attributes of a namespace are none."""
    if isinstance(target, nodes.Name):
        yield target.name
    for item in getattr(target, "items", ()):
        yield from targets(item)


def _offset(node: nodes.Node) -> int:
    return node.lineno.offset if isinstance(node.lineno, Line) else node.lineno
