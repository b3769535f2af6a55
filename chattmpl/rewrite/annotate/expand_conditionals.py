"""Conditional expressions rewritten as statements, where a generated span begins or ends inside of them."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.layout import Item, Output, Part, Token, walk
from chattmpl.rewrite.annotate.span_labels import UNCLEAR, labeled_parts
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.lexer import tokens


def unclear_parts(items: list[Item], evidence: Evidence, source: str) -> Iterator[tuple[Output, Part]]:
    """The parts of outputs of which some is generated, and that cannot be cut."""
    for item in walk(items):
        if isinstance(item, Output):
            for piece in labeled_parts(evidence, item, source):
                if piece.label == UNCLEAR:
                    yield item, piece.part


def expand_conditionals(source: str, items: list[Item], evidence: Evidence, environment: Environment) -> str:
    """The source in which ``{{ 'a' if x else b }}`` became ``{% if x %}{{ 'a' }}{% else %}{{ b }}{% endif %}``."""
    raw = tokens(source)
    edits: dict[int, Edit] = {}
    for item, part in unclear_parts(items, evidence, source):
        inside = [token for token in raw if part.start <= token[0] < part.end]
        found = _condition(inside)
        if found is not None and item.start not in edits:
            edits[item.start] = Edit(item.start, item.end, _statements(source, item, part, found))
    return apply_edits(source, [edits[start] for start in sorted(edits)]).text


def _condition(inside: list[Token]) -> tuple[int, int] | None:
    """Where in the source the ``if`` and the ``else`` of a conditional expression stand."""
    depth = 0
    places: dict[str, int] = {}
    for offset, kind, value in inside:
        if kind == "operator":
            depth += (value in "([{") - (value in ")]}")
        elif kind == "name" and depth == 0 and value in ("if", "else"):
            if value in places:
                return None
            places[value] = offset
    return (places["if"], places["else"]) if places.keys() == {"if", "else"} and places["if"] < places["else"] else None


def _statements(source: str, item: Output, part: Part, found: tuple[int, int]) -> str:
    text = source[item.start : item.end]
    left = text[2] if text[2] in "-+" else ""
    right = text[-3] if text[-3] in "-+" else ""
    index = next(number for number, one in enumerate(item.parts) if one.start == part.start)
    operator = " ~ " if "~" in text and "+" not in text else " + "
    before = operator.join(_written(source, one) for one in item.parts[:index])
    after = operator.join(_written(source, one) for one in item.parts[index + 1 :])
    one, condition, other = (
        source[start:end].strip()
        for start, end in ((part.start, found[0]), (found[0] + 2, found[1]), (found[1] + 4, part.end))
    )
    # Without a sign a tag takes white space with it that an output leaves.
    opening = f"{{{{{left} {before} }}}}{{% if" if before else f"{{%{left or '+'} if"
    closing = f"endif %}}{{{{ {after} {right}}}}}" if after else f"endif {right or '+'}%}}"
    return f"{opening} {condition} %}}{{{{ {one} }}}}{{% else %}}{{{{ {other} }}}}{{% {closing}"


def _written(source: str, part: Part) -> str:
    return f"({source[part.start : part.end]})" if part.enclosed else source[part.start : part.end]
