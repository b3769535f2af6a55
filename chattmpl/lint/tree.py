"""Questions about syntax trees that several rules ask."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.compiler.codegen import children, descendants, targets
from chattmpl.lint.context import LintContext

_SCOPES = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.With, nodes.Scope)


def key(node: nodes.Node) -> str | None:
    """The name of what an expression takes out of another: ``content`` of ``m.content`` and of ``m['content']``."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    return None


def root(node: nodes.Node) -> str | None:
    """The variable that an expression begins with: ``messages`` of ``messages[0].content``."""
    while isinstance(node, (nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Call)):
        inner = node.node
        if inner is None:
            return None
        node = inner
    return node.name if isinstance(node, nodes.Name) else None


def assignments(node: nodes.Node, *, inner: bool = True) -> Iterator[tuple[str, nodes.Node]]:
    """The variables set in a node, each with the node that sets it.

    Args:
        node: where to look.
        inner: also in scopes inside of it.
    """
    for child in children(node):
        if isinstance(child, (nodes.Assign, nodes.AssignBlock)):
            for name in targets(child.target):
                yield name, child
        if inner or not isinstance(child, _SCOPES):
            yield from assignments(child, inner=inner)


def loads(subject: LintContext, name: str) -> Iterator[nodes.Name]:
    """Where a variable is read."""
    return (node for node in subject.nodes(nodes.Name) if node.name == name and node.ctx == "load")


def last_offset(subject: LintContext, node: nodes.Node) -> int:
    """The offset of the last thing in a node."""
    return max([subject.offset(node), *map(subject.offset, descendants(node))])


def read_after(subject: LintContext, name: str, end: int) -> nodes.Name | None:
    """Where a variable is first read behind an offset, unless it is set anew before."""
    sets = [subject.offset(node) for other, node in subject.assigned if other == name]
    for load in sorted(loads(subject, name), key=subject.offset):
        offset = subject.offset(load)
        if offset > end and not any(end < other <= offset for other in sets):
            return load
    return None


def exclusive(subject: LintContext, one: nodes.Node, other: nodes.Node) -> bool:
    """Whether two nodes stand in different branches of a condition, so that only one of them is reached."""
    for condition in subject.nodes(nodes.If):
        branches: list[list[nodes.Node]] = [list(condition.body), list(condition.else_)]
        branches += [[elif_] for elif_ in condition.elif_]
        first, second = (_branch(branches, node) for node in (one, other))
        if first is not None and second is not None and first != second:
            return True
    return False


def _branch(branches: list[list[nodes.Node]], node: nodes.Node) -> int | None:
    for index, branch in enumerate(branches):
        if any(top is node or any(node is inner for inner in descendants(top)) for top in branch):
            return index
    return None


def message_variables(subject: LintContext) -> frozenset[str]:
    """The variables that stand for one message: those of loops over messages, however they are called by then."""
    lists = {"messages"}
    for name, node in subject.assigned:
        if isinstance(node, nodes.Assign) and _is_part(node.node) and root(node.node) in lists:
            lists.add(name)
    return frozenset(
        name
        for loop in subject.nodes(nodes.For)
        if "messages" in (root(loop.iter) or "") or root(loop.iter) in lists
        for name in list(targets(loop.target))[-1:]
    )


def _is_part(node: nodes.Node) -> bool:
    """Whether an expression is a list, or what filters and slices leave of it."""
    return isinstance(node, (nodes.Name, nodes.Filter)) or (
        isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    )


def of_message(node: nodes.Node, variables: frozenset[str]) -> str | None:
    """The key of a message that an expression reads: of a loop's variable, or of ``messages[…]``."""
    name = key(node)
    if name is None or not isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return None
    owner = node.node
    if isinstance(owner, nodes.Name):
        return name if owner.name in variables else None
    if isinstance(owner, nodes.Getitem) and isinstance(owner.node, nodes.Name):
        return name if "messages" in owner.node.name and key(owner) is None else None
    return None
