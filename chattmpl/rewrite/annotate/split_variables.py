"""Texts that a variable carries from where they are joined to where they are written: split, if only some is generated.

``{% set content = header + text %}{{ content }}`` becomes
``{% set content = header %}{% set content_sampled = text %}{{ content }}{{ content_sampled }}``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chattmpl.errors import ChatTmplError
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.span_labels import NONE, UNCLEAR, UNSEEN, Part, label_part, parts_of, unclear_parts
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.syntax.nodes import Name
from chattmpl.syntax.tree import Output, Tag, Tree

See = Callable[[str], tuple[Tree, Evidence]]
"""Traces another source."""


@dataclass(frozen=True)
class _Carrier:
    """A variable that carries texts.

    Attributes:
        name: its name.
        sets: the tags that assign what it carries, each with the parts of its value.
        outputs: where it is written, as the last part of an output.
    """

    name: str
    sets: list[tuple[Tag, tuple[Part, ...]]]
    outputs: list[tuple[Output, Part]]


def split_variables(tree: Tree, evidence: Evidence, see: See) -> str:
    """Split texts that are generated in part over two or three variables."""
    names = dict.fromkeys(part.node.name for _, part in unclear_parts(tree, evidence) if isinstance(part.node, Name))
    for name in names:
        carrier = _carrier(tree, name)
        if carrier is None:
            continue
        try:
            source = _split(tree, carrier, see)
        except ChatTmplError:
            continue
        tree, evidence = see(source)
    return tree.source


def _is(part: Part, name: str) -> bool:
    return isinstance(part.node, Name) and part.node.name == name


def _carrier(tree: Tree, name: str) -> _Carrier | None:
    """Return where a variable is set and written; None if it is used for more than that."""
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


def _split(tree: Tree, carrier: _Carrier, see: See) -> str:
    """Return the source with each text in its parts: before what is generated, generated, and after it."""
    name = carrier.name
    count = max(len(parts) for _, parts in carrier.sets)
    variables = [name, *(f"{name}_{number}" for number in range(2, count + 1))]
    single = [list(zip(variables, map(_written, parts), strict=False)) for _, parts in carrier.sets]
    other, evidence = see(_rewritten(tree, carrier, single, variables))
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
    """Return where each variable is written as a part of an output."""
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
