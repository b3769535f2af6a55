"""Variables that a template reads, and its own text."""

from collections.abc import Iterable, Iterator
from math import inf

from chattmpl.syntax.items import Block, Tag, Text
from chattmpl.syntax.nodes import Constant, Name, Node
from chattmpl.syntax.tree import Tree

_IN_MACROS = frozenset({"caller", "kwargs", "varargs"})


def read_variables(tree: Tree) -> frozenset[str]:
    """Return the variables that the template reads before it sets them, including Jinja's globals."""
    return _unset(tree.body, frozenset()) - {"self"}


def own_text(tree: Tree) -> Iterator[str]:
    """Yield the text between the tags of a template, then over its string constants."""
    for text in tree.nodes(Text):
        yield text.value
    for constant in tree.nodes(Constant):
        if isinstance(constant.value, str) and constant.value:
            yield constant.value


def _unset(body: Iterable[Node], bound: frozenset[str]) -> frozenset[str]:
    """Return the names that are read in nodes before they are set there."""
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    for node in body:
        for name, offset, stored in _names(node, bound):
            known = written if stored else read
            known[name] = min(offset, known.get(name, offset))
    return frozenset(name for name, offset in read.items() if name not in written or offset <= written[name])


def _names(node: Node, bound: frozenset[str]) -> Iterator[tuple[str, float, bool]]:
    """Yield the names that are read and set, as (name, offset, is set), except those that a scope binds."""
    if isinstance(node, Name):
        if node.name not in bound:
            yield node.name, node.start, False
    elif isinstance(node, Block):
        yield from _names_in_block(node, bound)
    elif isinstance(node, Tag):
        for role, clause in node.clauses.items():
            if not role.startswith("target") and role != "parameters":
                for expression in clause:
                    yield from _names(expression, bound)
        if node.name == "set":
            # What an assignment reads, it reads before it sets: `{% set x = x | default(1) %}`.
            yield from ((name, node.end, True) for name in node.targets)
    else:
        for child in node.children:
            yield from _names(child, bound)


def _names_in_block(block: Block, bound: frozenset[str]) -> Iterator[tuple[str, float, bool]]:
    opening, body = block.opening, block.branches[0].body
    inner = bound
    if block.name == "macro":
        yield from ((name, -1, True) for name in opening.targets)
        # It is called later, when what is set after it is set.
        inner |= _IN_MACROS | _parameters(opening)
        yield from ((name, inf, False) for name in _unset([*opening.parameters, *body], inner))
        return
    if block.name == "for":
        inner |= {"loop", *opening.targets}
        if opening.value is not None:
            yield from _names(opening.value, bound)
        for condition in opening.clauses.get("condition", ()):
            yield from _names(condition, inner)
    elif block.name == "call":
        inner |= _IN_MACROS | _parameters(opening)
        for expression in opening.children:
            yield from _names(expression, inner)
    elif block.name == "with":
        inner |= set(opening.targets)
        yield from _names(opening, inner)
    elif block.name == "set":
        yield from ((name, block.end, True) for name in opening.targets)
        for expression in opening.clauses.get("filter", ()):
            yield from _names(expression, bound)
    else:
        yield from _names(opening, bound)
    for item in body:
        yield from _names(item, inner)
    for branch in block.branches[1:]:
        for node in branch.children:
            yield from _names(node, bound)


def _parameters(tag: Tag) -> set[str]:
    # A parameter is a name, or a keyword with its default.
    return {parameter.text.partition("=")[0].strip() for parameter in tag.parameters}
