"""Texts that are collected in a namespace and written at once: each written where it is collected.

``{% set ns.out = ns.out ~ text %}…{{ ns.out }}`` becomes ``{{ text }}…``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.rewrite.annotate.span_labels import parts_of
from chattmpl.syntax.edits import apply_edits
from chattmpl.syntax.nodes import Attribute, Name
from chattmpl.syntax.tree import CAPTURING, Block, Item, Output, Tag, Tree, parse


def inline_accumulators(source: str) -> str:
    """Write each collected text where it is collected; return the source as it is where that cannot be done."""
    tree = parse(source)
    outputs = [
        (item, item.expression)
        for item in _at_root(tree.body)
        if isinstance(item, Output) and isinstance(item.expression, Attribute)
    ]
    named = [(item, node.text) for item, node in outputs if isinstance(node.value, Name)]
    if len(named) != 1:
        return source
    last, name = named[0]
    edits = [last.replace(f"{{{{{last.left} '' {last.right}}}}}")]
    # Code that reads what was collected so far needs it to be collected still.
    asked = _uses(tree, name) > 1
    for item in _at_root(tree.body):
        if not isinstance(item, Tag) or item.name != "set" or item.target is None or item.target.text != name:
            continue
        parts = parts_of(item.value)
        if item.value is None or item.start > last.start or source[parts[0].start : parts[0].end] != name:
            return source
        if len(parts) > 1:
            added = source[parts[0].end : item.value.end].strip().lstrip("~+").strip()
            left, right = ("-" if sign == "-" else "" for sign in (item.left, item.right))
            edits.append(item.replace(f"{{{{{left} {added} {right}}}}}{item.text if asked else ''}"))
    return apply_edits(source, edits).text if len(edits) > 1 else source


def _uses(tree: Tree, name: str) -> int:
    """Count the uses of an attribute, those in assignments to it left out."""
    uses = 0
    for item in tree.flat:
        if not isinstance(item, Tag) or item.target is None or item.target.text != name:
            uses += sum(node.text == name for node in item.find(Attribute))
    return uses


def _at_root(body: Sequence[Item]) -> Iterator[Item]:
    """Iterate over all items except those whose output is captured."""
    for item in body:
        yield item
        if isinstance(item, Block) and item.name not in CAPTURING:
            for inner in item.bodies:
                yield from _at_root(inner)
