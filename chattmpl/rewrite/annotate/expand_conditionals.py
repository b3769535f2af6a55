"""Conditional expressions rewritten as statements, where a generated span begins or ends inside of them."""

from __future__ import annotations

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.span_labels import Part, parts_of, unclear_parts
from chattmpl.rewrite.annotate.split_outputs import operator_of
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.nodes import Conditional
from chattmpl.syntax.tree import Output, Tree


def expand_conditionals(tree: Tree, evidence: Evidence) -> str:
    """Rewrite ``{{ 'a' if x else b }}`` as ``{% if x %}{{ 'a' }}{% else %}{{ b }}{% endif %}``."""
    edits: dict[int, Edit] = {}
    for item, part in unclear_parts(tree, evidence):
        node = part.node
        if not isinstance(node, Conditional) or node.otherwise is None or item.start in edits:
            continue
        if not any(isinstance(child, Conditional) for child in node.children):
            edits[item.start] = item.replace(_statements(item, part, node))
    return apply_edits(tree.source, edits.values()).text


def _statements(item: Output, part: Part, node: Conditional) -> str:
    assert node.otherwise is not None
    parts = parts_of(item.expression)
    index = next(number for number, one in enumerate(parts) if one.start == part.start)
    operator = operator_of(item)
    before = operator.join(_written(item, one) for one in parts[:index])
    after = operator.join(_written(item, one) for one in parts[index + 1 :])
    # Without a sign a tag takes white space with it that an output leaves.
    opening = f"{{{{{item.left} {before} }}}}{{% if" if before else f"{{%{item.left or '+'} if"
    closing = f"endif %}}{{{{ {after} {item.right}}}}}" if after else f"endif {item.right or '+'}%}}"
    value, test, otherwise = (child.text for child in (node.value, node.test, node.otherwise))
    return f"{opening} {test} %}}{{{{ {value} }}}}{{% else %}}{{{{ {otherwise} }}}}{{% {closing}"


def _written(item: Output, part: Part) -> str:
    text = item.source[part.start : part.end]
    return f"({text})" if part.enclosed else text
