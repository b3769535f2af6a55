"""Rewrites that split what writes both sampled and other text: outputs, conditional expressions, variables.

- Output: ``{{ header + text }}`` becomes ``{{ header }}{{ text }}``.
- Conditional expression: ``{{ 'a' if x else b }}`` becomes ``{% if x %}{{ 'a' }}{% else %}{{ b }}{% endif %}``.
- Variable: ``{% set content = header + text %}{{ content }}`` becomes
  ``{% set content = header %}{% set content_sampled = text %}{{ content }}{{ content_sampled }}``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chattmpl.errors import ChatTmplError
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.guards import GuardPrinter
from chattmpl.rewrite.annotate.span_labels import (
    NONE,
    UNCLEAR,
    UNSEEN,
    LabeledPart,
    Part,
    label_part,
    labeled_parts,
    output_cases,
    parts_of,
    unclear_parts,
)
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.items import Block, Output, Tag
from chattmpl.syntax.nodes import (
    Binary,
    Call,
    Comparison,
    Concat,
    Conditional,
    Expression,
    Filter,
    Logical,
    Name,
    Test,
    Unary,
)
from chattmpl.syntax.tree import Tree

_MOST_PROMPTED = 3
"""Largest number of texts of generation prompts that a value may begin with."""

Observe = Callable[[str], tuple[Tree, Evidence]]
"""Parses and traces another source."""

_TEXT_FILTERS = frozenset({"trim", "tojson", "string", "join", "upper", "lower"})
"""Filters that make a text of any value."""


def split_outputs(tree: Tree, evidence: Evidence, *, careful: bool = False) -> str:
    """Split outputs until each is wholly generated, wholly not, or both as a whole.

    Where several parts of an output depend on conditions, it is written once for each case:
    ``{% if x %}{{ header + text }}{% else %}{{ header }}{{ text }}{% endif %}``.

    With ``careful``, a value that is no text is refused where it is written alone, as it was when it was joined.
    """
    edits = []
    for item in tree.items:
        if not isinstance(item, Output):
            continue
        groups = list(_groups(labeled_parts(evidence, item)))
        guarded = sum(any(piece.label.guard for piece in group) for group in groups)
        written = _cases(tree, evidence, item, careful) if guarded > 1 else None
        if written is None and len(groups) > 1:
            written = _outputs(item, groups, careful)
        if written is not None:
            edits.append(item.replace(written))
    return apply_edits(tree.source, edits).text


def _cases(tree: Tree, evidence: Evidence, item: Output, careful: bool) -> str | None:
    """Return an output written once for each case of conditions; None if these cannot be written."""
    loops = tuple(block for block in item.parents if isinstance(block, Block) and block.name == "for")[::-1]
    printer = GuardPrinter(tree, loops, evidence.trace_key)
    indent = _indent_alone(item)
    lines = "" if indent is None else indent + "    "
    made, word = "", f"{{%{item.left or '+'} if"
    for guard, pieces in output_cases(evidence, item):
        condition = None if guard is None else printer.print(guard)
        if guard is not None and condition is None:
            return None
        made += f"{word} {condition} %}}" if guard is not None else f"{indent or ''}{{%{item.left} else %}}"
        made += lines + _outputs(item, list(_groups(pieces)), careful, lines, right="")
        word = f"{indent or ''}{{%{item.left} elif"
    if not made:
        return None
    rest = item.source[item.end :]
    kept = "" if rest.lstrip()[:3] in ("{{-", "{%-", "{#-") else "+"
    return f"{made}{indent or ''}{{%{item.left} endif {item.right or kept}%}}"


def _indent_alone(item: Output) -> str | None:
    """Return a newline and the indent of an output that may be written on several lines; None for any other.

    It is alone on its line, and removes the white space before it.
    """
    source = item.source
    line = source.rfind("\n", 0, item.start) + 1
    before, after = source[line : item.start], source[item.end :].partition("\n")[0]
    return f"\n{before}" if item.left == "-" and line and not before.strip() and not after.strip() else None


def _operator(item: Output) -> str:
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


def _outputs(
    item: Output, groups: list[list[LabeledPart]], careful: bool, lines: str | None = None, right: str | None = None
) -> str:
    """Return the outputs that replace one, an output for each group."""
    operator = _operator(item)
    expressions = []
    for group in groups:
        alone = len(group) == 1
        words = [_expression(item.source, piece, alone=alone) for piece in group]
        node = group[0].part.node
        is_text = group[0].part.constant is not None or (isinstance(node, Filter) and node.name in _TEXT_FILTERS)
        if careful and alone and operator == " + " and not is_text:
            words = ["''", _expression(item.source, group[0], alone=False)]
        expressions.append(operator.join(words))
    lines = _indent_alone(item) if lines is None else lines
    between = f" }}}}{lines}{{{{- " if lines else " }}{{ "
    return f"{{{{{item.left} {between.join(expressions)} {item.right if right is None else right}}}}}"


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


# -- conditional expressions


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
    operator = _operator(item)
    before = operator.join(_enclosed_text(one) for one in parts[:index])
    after = operator.join(_enclosed_text(one) for one in parts[index + 1 :])
    # Without a sign a tag takes white space with it that an output leaves.
    opening = f"{{{{{item.left} {before} }}}}{{% if" if before else f"{{%{item.left or '+'} if"
    closing = f"endif %}}{{{{ {after} {item.right}}}}}" if after else f"endif {item.right or '+'}%}}"
    value, test, otherwise = (child.text for child in (node.value, node.test, node.otherwise))
    return f"{opening} {test} %}}{{{{ {value} }}}}{{% else %}}{{{{ {otherwise} }}}}{{% {closing}"


def _enclosed_text(part: Part) -> str:
    assert part.node is not None
    return f"({part.node.text})" if part.enclosed else part.node.text


# -- text that the prompt supplies


def cut_prompted(tree: Tree, evidence: Evidence) -> str:
    """Cut a value that begins with text of the generation prompt, such as ``<think>``, in front of the sampled rest.

    ``{{ text }}`` becomes ``{% set prompted = '<think>' if text.startswith('<think>') else '' %}`` and
    ``{{ prompted + text[prompted | length:] }}``, which writes the same whatever the text is.
    """
    edits: dict[int, Edit] = {}
    name = next((name for name in ("prompted", "prompted_text") if name not in tree.names), None)
    for item, part in unclear_parts(tree, evidence):
        seen = evidence.all_of(part.start)
        texts = sorted({one.before for one in seen if one.before}, key=len, reverse=True)
        exact = all(one.before or one.holds(0, one.length) is not None for one in seen)
        if name is None or not texts or not exact or len(texts) > _MOST_PROMPTED or item.start in edits:
            continue
        assert isinstance(part.node, Expression)
        operator, node = _operator(item), part.node.unwrapped
        if isinstance(node, Call) and node.method is None:
            continue  # a macro would be called several times
        value = part.node.text if isinstance(node, Name) else f"({node.text})"
        # What is added to a text is a text.
        if operator == " ~ " or part.node is item.expression:
            is_text = isinstance(node, Filter) and node.name in _TEXT_FILTERS
            value = value if is_text else f"({node.text} | string)"
        cases = " else ".join(f"{text!r} if {value}.startswith({text!r})" for text in texts)
        tag = f"{{%{item.left or '+'} set {name} = {cases} else '' %}}{_indent_alone(item) or ''}"
        cut = f"{name}{operator}{value}[{name} | length:]"
        inside = f"{item.source[item.start : part.start]}{cut}{item.source[part.end : item.end]}"
        edits[item.start] = item.replace(tag + inside)
    return apply_edits(tree.source, edits.values()).text


# -- variables


@dataclass(frozen=True)
class _Carrier:
    """A variable that carries texts from where they are joined to where they are written.

    Attributes:
        sets: the tags that assign its texts, each with the parts of the value.
        outputs: the outputs that write it as their last part.
    """

    name: str
    sets: list[tuple[Tag, tuple[Part, ...]]]
    outputs: list[tuple[Output, Part]]


def split_variables(tree: Tree, evidence: Evidence, observe: Observe) -> tuple[Tree, Evidence]:
    """Split partly generated texts into two or three variables, and observe the result."""
    names = dict.fromkeys(part.node.name for _, part in unclear_parts(tree, evidence) if isinstance(part.node, Name))
    for name in names:
        carrier = _carrier(tree, name)
        if carrier is None:
            continue
        try:
            source = _split_carrier(tree, carrier, observe)
        except ChatTmplError:
            continue
        tree, evidence = observe(source)
    return tree, evidence


def _is(part: Part, name: str) -> bool:
    return isinstance(part.node, Name) and part.node.name == name


def _carrier(tree: Tree, name: str) -> _Carrier | None:
    """Return the places where a variable is set and written; None if it has other uses."""
    known: set[int] = set()
    carrier = _Carrier(name, [], [])
    for item in tree.items:
        if isinstance(item, Tag) and item.name == "set" and item.value is not None and item.targets == (name,):
            assert item.target is not None
            parts = parts_of(item.value)
            known |= {item.target.start, *(part.start for part in parts if _is(part, name))}
            if not any(_is(part, name) for part in parts):
                carrier.sets.append((item, parts))
            elif not _is(parts[-1], name):
                return None
        elif isinstance(item, Output) and (parts := parts_of(item.expression)) and _is(parts[-1], name):
            carrier.outputs.append((item, parts[-1]))
            known.add(parts[-1].start)
    uses = {node.start for node in tree.variables if node.name == name}
    return carrier if carrier.sets and carrier.outputs and uses <= known else None


def _split_carrier(tree: Tree, carrier: _Carrier, observe: Observe) -> str:
    """Return the source with each text split into three parts: before the generated text, generated, and after it."""
    name = carrier.name
    count = max(len(parts) for _, parts in carrier.sets)
    variables = [name, *(f"{name}_{number}" for number in range(2, count + 1))]
    single = [list(zip(variables, map(_written, parts), strict=False)) for _, parts in carrier.sets]
    other, evidence = observe(_rewritten(tree, carrier, single, variables))
    written = _written_parts(other, variables)
    slots = []
    for _, parts in carrier.sets:
        groups: list[tuple[str, list[str]]] = [("", []), ("_sampled", []), ("_rest", [])]
        at = 0
        for variable, part in zip(variables, parts, strict=False):
            for text, generated in _stretches(part, evidence, written.get(variable, [])):
                if generated != (at == 1) and (generated or at == 1):
                    at += 1
                if at > 2:
                    return tree.source
                groups[at][1].append(text)
        slots.append([(f"{name}{ending}", " + ".join(texts)) for ending, texts in groups if texts or not ending])
    used = {variable for slot in slots for variable, _ in slot}
    order = [variable for variable in (name, f"{name}_sampled", f"{name}_rest") if variable in used]
    return _rewritten(tree, carrier, slots, order)


def _written(part: Part) -> str:
    assert part.node is not None
    return f"({part.node.text})" if part.enclosed and part.constant is None else part.node.text


def _rewritten(tree: Tree, carrier: _Carrier, slots: list[list[tuple[str, str]]], order: list[str]) -> str:
    edits = []
    for (tag, _), slot in zip(carrier.sets, slots, strict=True):
        if len(slot) > 1:
            pieces = [f"set {name} = {text or repr('')}" for name, text in slot]
            edits.append(tag.replace(f"{{%{tag.left} " + " %}{% ".join(pieces) + f" {tag.right}%}}"))
    edits += [Edit(part.start, part.end, " }}{{ ".join(order)) for _, part in carrier.outputs]
    return apply_edits(tree.source, edits).text


def _written_parts(tree: Tree, names: list[str]) -> dict[str, list[Part]]:
    """Return the places where each variable is written as a part of an output."""
    found: dict[str, list[Part]] = {}
    for item in tree.items:
        for part in parts_of(item.expression) if isinstance(item, Output) else ():
            if isinstance(part.node, Name) and part.node.name in names:
                found.setdefault(part.node.name, []).append(part)
    return found


def _stretches(operand: Part, evidence: Evidence, parts: list[Part]) -> list[tuple[str, bool]]:
    """Return an operand in its stretches, each with whether it is generated, always or for some."""
    pieces = []
    for part in parts:
        pieces = label_part(evidence, Part(part.start, part.end, operand.node))
        if any(piece.label not in (NONE, UNSEEN, UNCLEAR) for piece in pieces):
            break
    if any(piece.label == UNCLEAR for piece in pieces):
        raise ChatTmplError(f"{_written(operand)} is generated in part")
    if operand.constant is None or len(pieces) < 2:
        return [(_written(operand), any(piece.label not in (NONE, UNSEEN) for piece in pieces))]
    return [(operand.literal(piece.start or 0, piece.end), piece.label not in (NONE, UNSEEN)) for piece in pieces]
