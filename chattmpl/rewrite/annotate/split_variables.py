"""Texts that a variable carries from where they are joined to where they are written: taken apart, if only some of a
text is generated.

``{% set content = header + text %}{{ content }}`` becomes
``{% set content = header %}{% set content_sampled = text %}{{ content }}{{ content_sampled }}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment

from chattmpl.errors import ChatTmplError
from chattmpl.rewrite.annotate.evidence import Evidence
from chattmpl.rewrite.annotate.expand_conditionals import unclear_parts
from chattmpl.rewrite.annotate.layout import Item, Output, Part, Statement, cut_of, parts_of, variables, walk
from chattmpl.rewrite.annotate.span_labels import NONE, UNCLEAR, UNSEEN, label_part
from chattmpl.syntax.edits import Edit, apply_edits

_NAME = re.compile(r"[A-Za-z_]\w*")

See = Callable[[str], tuple[list[Item], Evidence]]
"""Traces another source."""


@dataclass(frozen=True)
class _Set:
    """``{% set name = a + b %}``.

    Attributes:
        operands: what it joins.
        value: where the expression begins and ends.
    """

    statement: Statement
    operands: tuple[Part, ...]
    value: tuple[int, int]


@dataclass(frozen=True)
class _Carrier:
    name: str
    sets: list[_Set]
    outputs: list[Output]


def split_variables(source: str, items: list[Item], evidence: Evidence, environment: Environment, see: See) -> str:
    """The source in which carried texts that are generated in part are carried by two or three variables."""
    names = dict.fromkeys(
        name
        for _, part in unclear_parts(items, evidence, source)
        if _NAME.fullmatch(name := source[part.start : part.end])
    )
    for name in names:
        carrier = _carrier(source, items, name, environment)
        if carrier is None:
            continue
        try:
            source = _apart(source, carrier, environment, see)
        except ChatTmplError:
            continue
        items, evidence = see(source)
    return source


def _carrier(source: str, items: list[Item], name: str, environment: Environment) -> _Carrier | None:
    """Where a variable is set and written; None if it is used for more than that."""
    known: set[int] = set()
    sets, outputs = [], []
    for item in walk(items):
        if isinstance(item, Statement) and (match := re.match(rf"{name}\s*=(?!=)\s*", item.tag.body)):
            at = source.index(item.tag.body, item.start)
            start, end = at + match.end(), at + len(item.tag.body)
            operands = parts_of(source, start, end, environment)
            known |= {at, *(part.start for part in operands if source[part.start : part.end] == name)}
            if all(source[part.start : part.end] != name for part in operands):
                sets.append(_Set(item, operands, (start, end)))
            elif source[operands[-1].start : operands[-1].end] != name:
                return None
        elif isinstance(item, Output) and item.parts and source[item.parts[-1].start : item.parts[-1].end] == name:
            outputs.append(item)
            known.add(item.parts[-1].start)
    uses = {offset for offset, value in variables(source, environment) if value == name}
    return _Carrier(name, sets, outputs) if sets and outputs and uses <= known else None


def _apart(source: str, carrier: _Carrier, environment: Environment, see: See) -> str:
    """The source with each text in its parts: before what is generated, generated, and behind it."""
    name = carrier.name
    count = max(len(found.operands) for found in carrier.sets)
    single = [f"{name}_{number}" for number in range(2, count + 1)]
    apart = _rewritten(source, carrier, [_plain(source, found) for found in carrier.sets], [name, *single])
    items, evidence = see(apart)
    seen = _by_name(apart, items, [name, *single])
    slots = []
    for found in carrier.sets:
        groups: list[tuple[str, list[str]]] = [("", []), ("_sampled", []), ("_rest", [])]
        at = 0
        for variable, operand in zip([name, *single], found.operands, strict=False):
            for text, generated in _cut(source, operand, evidence, seen.get(variable, [])):
                if generated != (at == 1) and (generated or at == 1):
                    at += 1
                if at > 2:
                    return source
                groups[at][1].append(text)
        slots.append([(f"{name}{ending}", " + ".join(texts)) for ending, texts in groups if texts or not ending])
    written = {variable for slot in slots for variable, _ in slot}
    order = [variable for variable in (name, f"{name}_sampled", f"{name}_rest") if variable in written]
    return _rewritten(source, carrier, slots, order)


def _plain(source: str, found: _Set) -> list[tuple[str, str]]:
    name = found.statement.tag.body.split("=")[0].strip()
    texts = [_written(source, part) for part in found.operands]
    return [(name if number == 0 else f"{name}_{number + 1}", text) for number, text in enumerate(texts)]


def _written(source: str, part: Part) -> str:
    text = source[part.start : part.end]
    return f"({text})" if part.enclosed and part.constant is None else text


def _rewritten(source: str, carrier: _Carrier, slots: list[list[tuple[str, str]]], order: list[str]) -> str:
    edits = []
    for found, slot in zip(carrier.sets, slots, strict=True):
        if len(slot) == 1:
            continue
        tag = found.statement.tag
        pieces = [f"set {name} = {text or repr('')}" for name, text in slot]
        edits.append(Edit(tag.start, tag.end, f"{{%{tag.left} " + " %}{% ".join(pieces) + f" {tag.right}%}}"))
    for item in carrier.outputs:
        last = item.parts[-1]
        edits.append(Edit(last.start, last.end, " }}{{ ".join(order)))
    return apply_edits(source, sorted(edits, key=lambda edit: edit.start)).text


def _by_name(source: str, items: list[Item], names: list[str]) -> dict[str, list[Part]]:
    """The outputs of each variable, as parts."""
    found: dict[str, list[Part]] = {}
    for item in walk(items):
        for part in item.parts if isinstance(item, Output) else ():
            if (name := source[part.start : part.end]) in names:
                found.setdefault(name, []).append(part)
    return found


def _cut(source: str, operand: Part, evidence: Evidence, parts: list[Part]) -> list[tuple[str, bool]]:
    """An operand in its stretches, each with whether it is generated, always or for some."""
    literal = _written(source, operand)
    pieces = []
    for part in parts:
        pieces = label_part(evidence, Part(part.start, part.end, operand.constant))
        if any(piece.label not in (NONE, UNSEEN, UNCLEAR) for piece in pieces):
            break
    if any(piece.label == UNCLEAR for piece in pieces):
        raise ChatTmplError(f"{literal} is generated in part")
    if operand.constant is None or len(pieces) < 2:
        return [(literal, any(piece.label not in (NONE, UNSEEN) for piece in pieces))]
    found = []
    for piece in pieces:
        begin = cut_of(literal, piece.start) if piece.start else 1
        whole = piece.end is None or piece.end == len(operand.constant)
        end = len(literal) - 1 if whole else cut_of(literal, piece.end or 0)
        found.append((f"{literal[0]}{literal[begin:end]}{literal[0]}", piece.label not in (NONE, UNSEEN)))
    return found
