"""Texts that are collected in a namespace and written at once: each written where it is collected.

``{% set ns.out = ns.out ~ text %}…{{ ns.out }}`` becomes ``{{ text }}…``.
"""

from __future__ import annotations

import re

from jinja2 import Environment

from chattmpl.rewrite.annotate.layout import Block, Item, Output, Statement, layout, parts_of
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit, apply_edits

_CAPTURED = frozenset({"macro", "call", "filter", "set"})


def inline_accumulators(source: str, environment: Environment) -> str:
    """The source in which what was collected is written at once; the same where nothing is, or not in this way."""
    items = layout(Source(source), environment)
    outputs = [
        (item, source[item.parts[0].start : item.parts[0].end])
        for item in _at_root(items)
        if isinstance(item, Output) and len(item.parts) == 1
    ]
    named = [(item, text) for item, text in outputs if re.fullmatch(r"\w+\.\w+", text)]
    if len(named) != 1:
        return source
    last, name = named[0]
    edits = [Edit(last.start, last.end, _nothing(source, last))]
    whole = re.sub(rf"\{{%[-+]?\s*set\s+{re.escape(name)}\s*=(?!=).*?%\}}", "", source, flags=re.DOTALL)
    # Who asks what was collected so far needs it to be collected still.
    asked = len(re.findall(rf"(?<![\w.]){re.escape(name)}\b", whole)) > 1
    for item in _at_root(items):
        if not isinstance(item, Statement) or item.tag.name != "set":
            continue
        match = re.match(rf"{re.escape(name)}\s*=(?!=)\s*", item.tag.body)
        if match is None:
            continue
        if item.start > last.start:
            return source
        start = source.index(item.tag.body, item.start)
        parts = parts_of(source, start + match.end(), start + len(item.tag.body), environment)
        if not parts or source[parts[0].start : parts[0].end] != name:
            return source
        if len(parts) > 1:
            joined = source[parts[0].end : item.tag.start + len(source[item.tag.start : item.tag.end])]
            added = joined[: len(joined) - len(_closing(source, item))].strip().lstrip("~+").strip()
            left, right = item.tag.left or "+", item.tag.right
            written = f"{{{{{'-' if left == '-' else ''} {added} {'-' if right == '-' else ''}}}}}"
            kept = source[item.start : item.end] if asked else ""
            edits.append(Edit(item.start, item.end, f"{written}{kept}"))
    return apply_edits(source, sorted(edits, key=lambda edit: edit.start)).text if len(edits) > 1 else source


def _closing(source: str, item: Statement) -> str:
    match = re.search(r"[-+]?%\}$", source[item.start : item.end])
    return match[0] if match else "%}"


def _nothing(source: str, item: Output) -> str:
    """An output that writes nothing, and leaves the white space around it as it is."""
    text = source[item.start : item.end]
    return f"{text[:3] if text[2] in '-+' else '{{'} '' {text[-3:] if text[-3] in '-+' else '}}'}"


def _at_root(items: list[Item]) -> list[Item]:
    """All items but those whose output is captured."""
    found: list[Item] = []
    for item in items:
        found.append(item)
        if isinstance(item, Block) and item.opening.name not in _CAPTURED:
            for body in item.bodies:
                found += _at_root(body)
    return found
