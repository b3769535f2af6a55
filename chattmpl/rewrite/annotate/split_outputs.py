"""Outputs taken apart where a generated span begins or ends inside of them."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.span_labels import UNSEEN, LabeledPart, labeled_parts
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.nodes import Binary, Comparison, Concat, Conditional, Expression, Filter, Logical, Test, Unary
from chattmpl.syntax.tree import Output, Tree

_TEXT_FILTERS = frozenset({"trim", "tojson", "string", "join", "upper", "lower"})
"""Filters that make a text of any value."""


def split_outputs(tree: Tree, evidence: Evidence, *, careful: bool = False) -> str:
    """Split outputs until each is wholly generated, wholly not, or both as a whole.

    Args:
        tree: the template.
        evidence: what its parts wrote.
        careful: whether a value that is no text is to be refused where it is written alone, as it was when it was
            joined.
    """
    edits = []
    for item in tree.items:
        if isinstance(item, Output):
            groups = list(_groups(labeled_parts(evidence, item)))
            if len(groups) > 1:
                edits.append(_edit(item, groups, careful))
    return apply_edits(tree.source, edits).text


def operator_of(item: Output) -> str:
    """Return the operator that joins the parts of an output, with spaces."""
    nodes = list(item.walk())
    plus = any(isinstance(node, Binary) and node.operator == "+" for node in nodes)
    return " ~ " if not plus and any(isinstance(node, Concat) for node in nodes) else " + "


def _groups(pieces: list[LabeledPart]) -> Iterator[list[LabeledPart]]:
    """Group neighbours with one label; a part that wrote nothing goes with its neighbour."""
    group: list[LabeledPart] = []
    known = UNSEEN
    for piece in pieces:
        if group and piece.label not in (known, UNSEEN) and known != UNSEEN:
            yield group
            group, known = [], UNSEEN
        group.append(piece)
        known = piece.label if known == UNSEEN else known
    if group:
        yield group


def _edit(item: Output, groups: list[list[LabeledPart]], careful: bool) -> Edit:
    start, end = item.inner
    inside = item.source[start:end]
    operator = operator_of(item)
    expressions = []
    for group in groups:
        alone = len(group) == 1
        words = [_expression(item.source, piece, alone=alone) for piece in group]
        node = group[0].part.node
        if careful and alone and operator == " + " and group[0].part.constant is None and not _is_text(node):
            words = ["''", _expression(item.source, group[0], alone=False)]
        expressions.append(operator.join(words))
    before = inside[: len(inside) - len(inside.lstrip())]
    after = inside[len(inside.rstrip()) :]
    return Edit(start, end, f"{before}{' }}{{ '.join(expressions)}{after}")


def _is_text(node: object) -> bool:
    return isinstance(node, Filter) and node.name in _TEXT_FILTERS


def _expression(source: str, piece: LabeledPart, *, alone: bool) -> str:
    part = piece.part
    literal = source[part.start : part.end]
    if part.enclosed and not alone and _binds_loosely(part.node):
        return f"({literal})"
    if piece.start is None or piece.end is None or part.constant is None:
        return literal
    if (piece.start, piece.end) == (0, len(part.constant)):
        return literal
    return part.literal(piece.start, piece.end)


def _binds_loosely(node: object) -> bool:
    """Return whether an expression binds looser than the operators that join strings, or contains one that does."""
    if not isinstance(node, Expression):
        return False
    return any(
        isinstance(inner, (Conditional, Logical, Comparison, Test))
        or (isinstance(inner, Unary) and inner.operator == "not")
        for inner in node.walk()
    )
