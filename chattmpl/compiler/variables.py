"""What a template reads: which variables can be passed to it, and what text is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, meta, nodes

from chattmpl.compiler.lexer import Line


def read_variables(tree: nodes.Template, environment: Environment) -> frozenset[str]:
    """The variables that a caller can pass.

    Jinja also counts those that are set in one branch and read after it; a variable that is set before it is first
    read is the template's own.
    """
    undeclared = meta.find_undeclared_variables(tree) - set(environment.globals)
    read: dict[str, int] = {}
    for name in _loads(tree, frozenset()):
        read[name.name] = min(_offset(name), read.get(name.name, _offset(name)))
    written: dict[str, int] = {}
    assignments: list[Any] = list(tree.find_all((nodes.Assign, nodes.AssignBlock)))
    for assign in assignments:
        # What an assignment reads, it reads before it writes: `{% set x = x | default(1) %}`.
        last = max(map(_offset, assign.find_all(nodes.Expr)), default=_offset(assign))
        for target in _targets(assign.target):
            written[target] = min(last, written.get(target, last))
    return frozenset(name for name in undeclared if name not in written or read.get(name, 0) <= written[name])


def own_text(tree: nodes.Template) -> Iterator[str]:
    """The text between the tags of a template, and its string constants."""
    for data in tree.find_all(nodes.TemplateData):
        yield data.data
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str) and constant.value:
            yield constant.value


def _loads(node: nodes.Node, bound: frozenset[str]) -> Iterator[nodes.Name]:
    """The names that are read, but for those that a macro has as parameters."""
    if isinstance(node, nodes.Name):
        if node.ctx == "load" and node.name not in bound:
            yield node
        return
    if isinstance(node, (nodes.Macro, nodes.CallBlock)):
        bound |= {argument.name for argument in node.args}
    for child in node.iter_child_nodes():
        yield from _loads(child, bound)


def _targets(target: nodes.Node) -> Iterator[str]:
    if isinstance(target, nodes.Name):
        yield target.name
    for item in getattr(target, "items", ()):
        yield from _targets(item)


def _offset(node: nodes.Node) -> int:
    return node.lineno.offset if isinstance(node.lineno, Line) else node.lineno
