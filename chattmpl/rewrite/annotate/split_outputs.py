"""Outputs taken apart where a generated span begins or ends inside of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.layout import Item, Output, cut_of, walk
from chattmpl.rewrite.annotate.span_labels import UNSEEN, LabeledPart, labeled_parts
from chattmpl.syntax.edits import Edit, apply_edits

_TEXT = re.compile(r"\|\s*(?:trim|tojson|string|join(?:\([^()]*\))?|upper|lower)\s*$")
"""What makes a text of anything."""

_LOOSE = re.compile(r"\b(?:if|else|and|or|not|in|is)\b|[=<>]")
"""What binds looser than what joins texts."""


def split_outputs(source: str, items: list[Item], evidence: Evidence, *, careful: bool = False) -> str:
    """The source in which every output is wholly generated, wholly not, or both as a whole.

    Args:
        source: the template.
        items: its layout.
        evidence: what its parts wrote.
        careful: whether what is not a text is to be refused where it stands alone now, as it was when it was joined.
    """
    edits = []
    for item in walk(items):
        if isinstance(item, Output):
            groups = list(_groups(labeled_parts(evidence, item, source)))
            if len(groups) > 1:
                edits.append(_edit(source, item, groups, careful))
    return apply_edits(source, edits).text


def _groups(pieces: list[LabeledPart]) -> Iterator[list[LabeledPart]]:
    """Neighbours of one label; what wrote nothing goes with its neighbour."""
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


def _edit(source: str, item: Output, groups: list[list[LabeledPart]], careful: bool) -> Edit:
    inside = source[item.start : item.end]
    left, right = inside[2:3] if inside[2] in "-+" else "", inside[-3] if inside[-3] in "-+" else ""
    start, end = item.start + 2 + len(left), item.end - 2 - len(right)
    operator = " ~ " if "~" in source[start:end] and "+" not in source[start:end] else " + "
    expressions = []
    for group in groups:
        alone = len(group) == 1
        words = [_expression(source, piece, alone=alone) for piece in group]
        refusing = careful and alone and operator == " + " and group[0].part.constant is None
        if refusing and not _TEXT.search(words[0]):
            words = ["''", _expression(source, group[0], alone=False)]
        expressions.append(operator.join(words))
    before = source[start:end][: len(source[start:end]) - len(source[start:end].lstrip())]
    after = source[start:end][len(source[start:end].rstrip()) :]
    return Edit(start, end, f"{before}{' }}{{ '.join(expressions)}{after}")


def _expression(source: str, piece: LabeledPart, *, alone: bool) -> str:
    literal = source[piece.part.start : piece.part.end]
    if piece.part.enclosed and not alone and _LOOSE.search(literal):
        return f"({literal})"
    if piece.start is None or piece.end is None or piece.part.constant is None:
        return literal
    if (piece.start, piece.end) == (0, len(piece.part.constant)):
        return literal
    quote = literal[0]
    begin = cut_of(literal, piece.start) if piece.start else 1
    end = cut_of(literal, piece.end) if piece.end < len(piece.part.constant) else len(literal) - 1
    return f"{quote}{literal[begin:end]}{quote}"
