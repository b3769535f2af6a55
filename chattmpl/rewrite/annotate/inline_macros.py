"""Macros written out where they are called, if only some of what a call writes is generated.

``{{ turn(m) }}`` becomes ``{% with message = m %}…{% endwith %}`` around the body of the macro, since transformers
sees no tags in macros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import Environment

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.expand_conditionals import unclear_parts
from chattmpl.rewrite.annotate.layout import Block, Item, Output, Token, walk
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.lexer import tokens

_LONGEST = 4_000
"""Characters of a macro that is written out once more."""

_SPECIAL = re.compile(r"\b(?:caller|varargs|kwargs)\b")
_PLAIN = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[\d.]+|true|false|none|True|False|None|\[\]|\{\})")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def inline_macros(source: str, items: list[Item], evidence: Evidence, environment: Environment) -> str:
    """The source in which no macro writes a text that is generated in part, as far as one level of calls goes."""
    macros = {
        match[0]: item
        for item in walk(items)
        if isinstance(item, Block) and item.opening.name == "macro" and (match := re.match(r"\w+", item.opening.body))
    }
    edits: dict[int, Edit] = {}
    raw = list(tokens(source)) if macros else []
    for item, part in unclear_parts(items, evidence, source):
        name = re.match(r"(\w+)\s*\(", source[part.start : part.end])
        macro = macros.get(name[1]) if name is not None else None
        if macro is None or len(item.parts) != 1 or item.start in edits:
            continue
        written = _written(source, item, macro, raw)
        if written is not None:
            edits[item.start] = Edit(item.start, item.end, written)
    return apply_edits(source, [edits[start] for start in sorted(edits)]).text


def _written(source: str, item: Output, macro: Block, raw: list[Token]) -> str | None:
    """The body of the macro in the place of its call; None if it cannot stand there."""
    body = source[macro.opening.end : macro.closing.start]
    own = re.match(r"\w+", macro.opening.body)
    if own is None or len(body) > _LONGEST or _SPECIAL.search(body) or re.search(rf"\b{own[0]}\s*\(", body):
        return None
    part = item.parts[0]
    given = list(_arguments(source, [token for token in raw if part.start <= token[0] < part.end]))
    wanted = list(
        _arguments(source, [token for token in raw if macro.start < token[0] < macro.opening.end], start=own[0])
    )
    values = _values(given, wanted)
    if values is None:
        return None
    body, values = _apart(source, macro, body, values, raw)
    text = source[item.start : item.end]
    left = text[2] if text[2] in "-+" else "+"
    right = text[-3] if text[-3] in "-+" else "+"
    variables = ", ".join(f"{name} = {value}" for name, value in values.items())
    return f"{{%{left} with {variables} {macro.opening.right}%}}{body}{{%{macro.closing.left} endwith {right}%}}"


def _apart(
    source: str, macro: Block, body: str, values: dict[str, str], raw: list[Token]
) -> tuple[str, dict[str, str]]:
    """The body and the values of parameters under names that hide no message of a loop around the call."""
    targets = set(re.findall(r"\bfor\s+(\w+)\s+in\b", source))
    hiding = {name for name, value in values.items() if name in targets and value != name}
    edits = []
    for offset, kind, value in raw:
        if kind == "name" and value in hiding and macro.opening.end <= offset < macro.closing.start:
            end = offset + len(value)
            keyword = re.match(r"\s*=(?!=)", source[end:]) and not re.search(r"\bset\s+$", source[:offset])
            if source[offset - 1] != "." and not keyword:
                edits.append(Edit(offset - macro.opening.end, end - macro.opening.end, f"{value}_given"))
    named = {f"{name}_given" if name in hiding else name: value for name, value in values.items()}
    return apply_edits(body, edits).text, named


def _values(given: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> dict[str, str] | None:
    """The value of each parameter; None if one is not given, or its default is computed."""
    names = [name or value for name, value in wanted]
    values = {name: value for name, value in wanted if name}
    if not all(_PLAIN.fullmatch(value) for value in values.values()):
        return None
    for index, (name, value) in enumerate(given):
        if (not name and index >= len(names)) or (name and name not in names):
            return None
        values[name or names[index]] = value
    return {name: values[name] for name in names} if values.keys() >= set(names) else None


def _arguments(source: str, inside: list[Token], start: str | None = None) -> Iterator[tuple[str, str]]:
    """What stands in the brackets of a call or of a signature: each with its name, which is empty for a position."""
    if start is not None:
        at = next(index for index, token in enumerate(inside) if token[2] == start)
        inside = inside[at:]
    inside = [token for token in inside if token[1] != "whitespace"]
    depth, begin = 0, 0
    for index, (_, kind, value) in enumerate(inside):
        if kind != "operator":
            continue
        if value in _OPENING:
            depth += 1
            begin = index + 1 if depth == 1 else begin
        elif value in _CLOSING or value == ",":
            depth -= value != ","
            if (depth == 0 or (depth == 1 and value == ",")) and index > begin:
                yield _argument(source, inside[begin:index])
            begin = index + 1 if depth <= 1 and value == "," else begin
            if depth == 0:
                return


def _argument(source: str, inside: list[Token]) -> tuple[str, str]:
    named = len(inside) > 2 and inside[0][1] == "name" and inside[1][2] == "="
    first = inside[2] if named else inside[0]
    return inside[0][2] if named else "", source[first[0] : inside[-1][0] + len(inside[-1][2])]


def inline_constants(source: str, items: list[Item], evidence: Evidence) -> str:
    """The source in which a variable that only ever holds one constant is that constant, where it has to be cut."""
    edits: dict[int, Edit] = {}
    for _, part in unclear_parts(items, evidence, source):
        name = source[part.start : part.end]
        literal = _constant(source, name) if re.fullmatch(r"\w+(?:\.\w+)?", name) else None
        if literal is not None:
            edits[part.start] = Edit(part.start, part.end, literal)
    return apply_edits(source, [edits[start] for start in sorted(edits)]).text


_LITERAL = r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"


def _constant(source: str, name: str) -> str | None:
    """What a variable, or a field of a namespace, is set to, if it is so once and it is a constant."""
    holder, _, field = name.partition(".")
    places = re.findall(rf"(?:\bset\s+{re.escape(name)}\s*=|\bfor\s+(?:\w+\s*,\s*)*{re.escape(name)}\b)(?!=)", source)
    if not field:
        found = re.findall(rf"\bset\s+{holder}\s*=\s*{_LITERAL}\s*[-+]?%\}}", source)
        return str(found[0]) if len(found) == len(places) == 1 else None
    made = re.findall(rf"\bset\s+{holder}\s*=\s*namespace\((.*?)\)\s*[-+]?%\}}", source, re.DOTALL)
    found = re.findall(rf"\b{field}\s*=\s*{_LITERAL}\s*(?:,|$)", made[0].strip()) if len(made) == 1 else []
    return str(found[0]) if len(found) == 1 and not places else None
