"""Variables that hold the messages of a conversation, and the loops over them."""

from collections.abc import Iterator

from chattmpl.syntax.items import Block
from chattmpl.syntax.nodes import (
    Attribute,
    Binary,
    Call,
    Concat,
    Conditional,
    Expression,
    Filter,
    Group,
    Keyword,
    Name,
    Slice,
    Subscript,
)
from chattmpl.syntax.tree import Tree

_LISTS = frozenset(
    {"list", "reverse", "sort", "unique", "select", "selectattr", "reject", "rejectattr", "default", "d"}
)
"""Filters that make a list of messages of another one."""


def holds_messages(expression: Expression | None, lists: frozenset[str]) -> bool:
    """Return whether an expression is the list of messages, a variable of ``lists`` that holds it, or some messages in
    a list.
    """
    match expression:
        case Name():
            return expression.name in lists
        case Attribute():
            return isinstance(expression.value, Name) and f"{expression.value.name}.{expression.name}" in lists
        case Subscript():
            return isinstance(expression.index, Slice) and holds_messages(expression.value, lists)
        case Filter():
            return expression.name in _LISTS and holds_messages(expression.value, lists)
        case Binary():
            return expression.operator == "+" and any(
                holds_messages(operand, lists) for operand in (expression.left, expression.right)
            )
        case Concat():
            return any(holds_messages(operand, lists) for operand in expression.items)
        case Conditional():
            return any(holds_messages(branch, lists) for branch in (expression.value, expression.otherwise))
        case Group():
            return holds_messages(expression.inside, lists)
        case Call():
            # A loop over the indices of the messages.
            function = expression.function
            return (
                isinstance(function, Name)
                and function.name == "range"
                and any(name.name in lists for argument in expression.arguments for name in argument.find(Name))
            )
    return False


def message_lists(tree: Tree) -> frozenset[str]:
    """Return the variables, and attributes of namespaces, that hold the messages or some of them.

    They are known by name (``messages``, ``loop_messages``) and by assignments.
    """
    found = frozenset({"messages", *(name for name in tree.names if name.endswith("_messages"))})
    assignments = [tag for tag in tree.tags if tag.name == "set" and tag.target is not None and tag.value is not None]
    while True:
        new = {name for tag in assignments for name in _held(tag.target, tag.value, found)} - found
        if not new:
            return found
        found |= new


def _held(target: Expression | None, value: Expression | None, lists: frozenset[str]) -> Iterator[str]:
    """Yield the names that an assignment makes lists of messages."""
    if holds_messages(value, lists) and isinstance(target, (Name, Attribute)):
        yield target.text
    elif isinstance(target, Name) and isinstance(value, Call) and value.function.text == "namespace":
        for argument in value.arguments:
            if isinstance(argument, Keyword) and holds_messages(argument.value, lists):
                yield f"{target.name}.{argument.name}"


def message_loops(tree: Tree) -> list[Block]:
    """Return the loops over messages, in the order of the source."""
    lists = message_lists(tree)
    return [block for block in tree.blocks("for") if holds_messages(block.opening.value, lists)]


def message_key(expression: Expression, variables: frozenset[str]) -> str | None:
    """Return the key that an expression reads from a message: from one of the variables, or from ``messages[…]``."""
    if not isinstance(expression, (Attribute, Subscript)):
        return None
    owner = expression.value
    if isinstance(owner, Name):
        return expression.key if owner.name in variables else None
    if isinstance(owner, Subscript) and isinstance(owner.value, Name) and owner.key is None:
        return expression.key if "messages" in owner.value.name else None
    return None


def message_variables(tree: Tree) -> frozenset[str]:
    """Return the variables that stand for one message: the last targets of loops over messages."""
    return frozenset(block.opening.targets[-1] for block in message_loops(tree) if block.opening.targets)


def find_read(tree: Tree, variable: str, key: str) -> Expression | None:
    """Return the first expression that reads a key from a variable; calls of methods read none."""
    methods = {id(call.function) for call in tree.nodes(Call)}
    for node in tree.everything:
        if not isinstance(node, (Attribute, Subscript)) or node.key != key or id(node) in methods:
            continue
        if isinstance(node.value, Name) and node.value.name == variable:
            return node
    return None


def read_in_style(tree: Tree, variable: str, key: str) -> str:
    """Return an expression that reads a key from a variable, in the style in which the template reads it or others."""
    found = find_read(tree, variable, key)
    if found is not None:
        return found.text
    dotted = any(isinstance(node.value, Name) and node.value.name == variable for node in tree.nodes(Attribute))
    return f"{variable}.{key}" if dotted else f"{variable}['{key}']"
