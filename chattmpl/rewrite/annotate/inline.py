"""Rewrites that inline macros, constants and accumulators, so that generation tags can enclose a part of their text.

- Macro: ``{{ turn(m) }}`` becomes the body of the macro in ``{% with message = m %}…{% endwith %}``, since
  transformers ignores tags in macros.
- Constant: ``{{ text + sep.end }}`` becomes ``{{ text + '<|end|>' }}``.
- Accumulator: ``{% set ns.out = ns.out ~ text %}…{{ ns.out }}`` becomes ``{{ text }}…``.
"""

import re
from collections.abc import Iterator, Sequence

from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.span_labels import parts_of, unclear_parts
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.items import CAPTURING, Block, Item, Output, Tag
from chattmpl.syntax.nodes import Attribute, Call, Constant, Expression, Keyword, Name, Starred
from chattmpl.syntax.tree import Tree, parse

_MAX_MACRO = 4_000
"""Largest number of characters of a macro that is inlined."""

_SPECIAL = frozenset({"caller", "varargs", "kwargs"})
_PLAIN = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[\d.]+|true|false|none|True|False|None|\[\]|\{\})")


def inline_macros(tree: Tree, evidence: Evidence) -> str:
    """Inline the macros that write sampled and other text, one level of calls deep."""
    macros = {block.opening.target.text: block for block in tree.blocks("macro") if block.opening.target is not None}
    edits: dict[int, Edit] = {}
    for item, part in unclear_parts(tree, evidence):
        call = part.node
        if not isinstance(call, Call) or call is not item.expression or item.start in edits:
            continue
        macro = macros.get(call.function.text)
        written = _written(item, call, macro) if macro is not None else None
        if written is not None:
            edits[item.start] = item.replace(written)
    return apply_edits(tree.source, edits.values()).text


def _written(item: Output, call: Call, macro: Block) -> str | None:
    """Return the body of a macro that replaces a call; None if it cannot."""
    own, start, end = call.function.text, macro.opening.end, macro.closing.start
    names = {name.name for node in macro.branches[0].body for name in node.find(Name)}
    if end - start > _MAX_MACRO or not names.isdisjoint({*_SPECIAL, own}):
        return None
    values = _values(call.arguments, macro.opening.parameters)
    if values is None:
        return None
    body, values = _without_hiding(macro, values)
    variables = ", ".join(f"{name} = {value}" for name, value in values.items())
    left, right = item.left or "+", item.right or "+"
    return f"{{%{left} with {variables} {macro.opening.right}%}}{body}{{%{macro.closing.left} endwith {right}%}}"


def _without_hiding(macro: Block, values: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the body and the parameters' values under names that hide no loop variable around the call."""
    targets = {name for tag in macro.tree.tags if tag.name == "for" for name in tag.targets}
    hiding = {name for name, value in values.items() if name in targets and value != name}
    start, end = macro.opening.end, macro.closing.start
    edits = [
        Edit(name.start - start, name.end - start, f"{name.name}_given")
        for node in macro.branches[0].body
        for name in node.find(Name)
        if name.name in hiding
    ]
    named = {f"{name}_given" if name in hiding else name: value for name, value in values.items()}
    return apply_edits(macro.source[start:end], edits).text, named


def _values(arguments: tuple[Expression, ...], parameters: tuple[Expression, ...]) -> dict[str, str] | None:
    """Return the value of each parameter; None if one has no value, or its default is computed."""
    names = [one.name for one in parameters if isinstance(one, (Name, Keyword))]
    values = {one.name: one.value.text for one in parameters if isinstance(one, Keyword)}
    if not all(_PLAIN.fullmatch(value) for value in values.values()):
        return None
    for index, argument in enumerate(arguments):
        keyword = argument.name if isinstance(argument, Keyword) else None
        if isinstance(argument, Starred) or (index >= len(names) if keyword is None else keyword not in names):
            return None
        value = argument.value if isinstance(argument, Keyword) else argument
        values[keyword or names[index]] = value.text
    return {name: values[name] for name in names} if values.keys() >= set(names) else None


def inline_constants(tree: Tree, evidence: Evidence) -> str:
    """Replace variables that only ever hold one constant by that constant, where the constant must be cut."""
    edits: dict[int, Edit] = {}
    for _, part in unclear_parts(tree, evidence):
        literal = _constant(tree, part.node) if isinstance(part.node, (Name, Attribute)) else None
        if literal is not None:
            edits[part.start] = Edit(part.start, part.end, literal)
    return apply_edits(tree.source, edits.values()).text


def _constant(tree: Tree, node: Name | Attribute) -> str | None:
    """Return the string that a variable, or an attribute of a namespace, is set to, if that happens once."""
    name = node.text
    places = [
        tag
        for tag in tree.tags
        if tag.target is not None and tag.name in ("set", "for") and (tag.target.text == name or name in tag.targets)
    ]
    if isinstance(node, Name):
        values = [tag.value for tag in places]
        return _literal(values[0]) if len(values) == 1 and places[0].name == "set" else None
    made = [
        tag.value
        for tag in tree.tags
        if tag.name == "set" and tag.target is not None and tag.target.text == node.value.text
    ]
    if places or len(made) != 1 or not isinstance(made[0], Call) or made[0].function.text != "namespace":
        return None
    fields = [one.value for one in made[0].arguments if isinstance(one, Keyword) and one.name == node.name]
    return _literal(fields[0]) if len(fields) == 1 else None


def _literal(node: Expression | None) -> str | None:
    return node.text if isinstance(node, Constant) and node.string is not None else None


# -- accumulators


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
    # Code that reads the text collected so far still needs it.
    read_elsewhere = _count_uses(tree, name) > 1
    for item in _at_root(tree.body):
        if not isinstance(item, Tag) or item.name != "set" or item.target is None or item.target.text != name:
            continue
        parts = parts_of(item.value)
        if item.value is None or item.start > last.start or source[parts[0].start : parts[0].end] != name:
            return source
        if len(parts) > 1:
            added = source[parts[0].end : item.value.end].strip().lstrip("~+").strip()
            left, right = ("-" if sign == "-" else "" for sign in (item.left, item.right))
            edits.append(item.replace(f"{{{{{left} {added} {right}}}}}{item.text if read_elsewhere else ''}"))
    return apply_edits(source, edits).text if len(edits) > 1 else source


def _count_uses(tree: Tree, name: str) -> int:
    """Count the uses of an attribute outside assignments to it."""
    uses = 0
    for item in tree.flat:
        if not isinstance(item, Tag) or item.target is None or item.target.text != name:
            uses += sum(node.text == name for node in item.find(Attribute))
    return uses


def _at_root(body: Sequence[Item]) -> Iterator[Item]:
    """Yield all items except those whose output is captured."""
    for item in body:
        yield item
        if isinstance(item, Block) and item.name not in CAPTURING:
            for inner in item.bodies:
                yield from _at_root(inner)
