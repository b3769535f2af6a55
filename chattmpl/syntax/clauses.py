"""The expressions of a tag by their role, such as the target, the value and the condition of a loop."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from chattmpl.syntax.expressions import ExpressionParser
from chattmpl.syntax.nodes import Expression, Name

_Rule: TypeAlias = Callable[[ExpressionParser], dict[str, Sequence[Expression]]]


def _for(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    target = parser.target()
    parser.expect("in")
    clauses: dict[str, Sequence[Expression]] = {
        "target": [target],
        "value": [parser.sequence(conditional=False, end="recursive")],
    }
    if parser.skip("if"):
        clauses["condition"] = [parser.expression()]
    parser.skip("recursive")
    return clauses


def _test(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    return {"value": [parser.sequence(conditional=False)]}


def _set(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    target = parser.target()
    if parser.skip("="):
        return {"target": [target], "value": [parser.sequence()]}
    return {"target": [target], "filter": [parser.filter(None)] if parser.skip("|") else []}


def _macro(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    return {"target": [_name(parser)], "parameters": parser.parameters()}


def _call(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    parameters = parser.parameters() if parser.value == "(" else ()
    return {"parameters": parameters, "value": [parser.expression()]}


def _filter(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    return {"filter": [parser.filter(None)]}


def _with(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    """``with`` is the one tag whose roles alternate, so that its clauses are numbered."""
    found: dict[str, Sequence[Expression]] = {}
    while parser.kind:
        if found:
            parser.expect(",")
        target = parser.target()
        parser.expect("=")
        number = len(found) // 2
        found[f"target{number}"] = [target]
        found[f"value{number}"] = [parser.expression()]
    return found


def _block(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    name = _name(parser)
    while parser.skip("scoped") or parser.skip("required"):
        pass
    return {"target": [name]}


def _template(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    """Parse the template that is extended, included or imported; its names are those that are imported."""
    found: dict[str, Sequence[Expression]] = {"value": [parser.expression()]}
    names: list[Expression] = []
    while parser.kind:
        if parser.skip("as") and names:
            names.pop()
        elif parser.skip("with", "context") or parser.skip("without", "context") or parser.skip("ignore", "missing"):
            continue
        elif not (parser.skip("import") or parser.skip(",")):
            names.append(_name(parser))
    return {**found, "target": names}


def _value(parser: ExpressionParser) -> dict[str, Sequence[Expression]]:
    return {"value": [parser.expression()]}


def _name(parser: ExpressionParser) -> Name:
    start = parser.start
    name = parser.name()
    return Name(start, start + len(name), name)


RULES: dict[str, _Rule] = {
    "for": _for,
    "if": _test,
    "elif": _test,
    "set": _set,
    "macro": _macro,
    "call": _call,
    "filter": _filter,
    "with": _with,
    "block": _block,
    "extends": _template,
    "include": _template,
    "import": _template,
    "from": _template,
    "autoescape": _value,
    "print": lambda parser: {"value": [parser.sequence()]},
}
