"""Lowering of reasoning tags to plain Jinja conditions."""

from __future__ import annotations

import re

from chattmpl.compiler.dialect import Block, Outline, Tag
from chattmpl.compiler.policies import POLICIES, RUNTIME, VARIABLE, Retention
from chattmpl.errors import TemplateError
from chattmpl.source import Place
from chattmpl.syntax.edits import Edit


def lower_reasoning(outline: Outline, retention: Retention) -> list[Edit]:
    """The edits that turn every reasoning tag into a condition, with what they need at the head of the template.

    Raises:
        TemplateError: for a reasoning tag that does not stand in a loop over messages.
    """
    namespace = namespace_for(outline)
    condition = retention.condition(namespace)
    edits: list[Edit] = []
    hoisted: set[Tag] = set()
    lists = re.compile(rf"(?<![\w.])(?:{'|'.join(_message_lists(outline))})(?!\w)")
    checked: set[Tag] = set()
    for block in outline.reasoning:
        loop = _message_loop(outline, block, lists)
        if loop not in checked:
            checked.add(loop)
            _check_loop(outline, loop)
        own = _innermost_loop(block)
        uses_loop = "loop." in condition
        test = condition
        if uses_loop and own is not loop:
            test = "keep_reasoning"
            if loop not in hoisted:
                hoisted.add(loop)
                edits.append(Edit(loop.end, loop.end, f"{{% set keep_reasoning = {condition} {loop.right}%}}"))
        edits.append(Edit(block.tag.start, block.tag.end, block.tag.rewritten(f"if {test}")))
        edits.append(Edit(block.end.start, block.end.end, block.end.rewritten("endif")))
    prelude = _prelude(outline, retention, namespace)
    return [Edit(0, 0, prelude), *edits] if prelude else edits


def namespace_for(outline: Outline) -> str:
    """Return a name for the namespace of the counters that the template does not use."""
    return "retention" if "retention" not in outline.names else "chattmpl_retention"


def _prelude(outline: Outline, retention: Retention, namespace: str) -> str:
    lines = []
    if retention.policy == RUNTIME:
        named = list(POLICIES)
        lines.append(f"{{% set {VARIABLE} = {VARIABLE} | default('{retention.default}') %}}")
        lines.append(
            f"{{% if {VARIABLE} not in {named!r} %}}"
            f"{{{{ raise_exception('{VARIABLE} must be one of {', '.join(named)}') }}}}{{% endif %}}"
        )
    elif VARIABLE in outline.names and outline.reasoning:
        lines.append(f"{{% set {VARIABLE} = '{retention.policy}' %}}")
    if outline.reasoning:
        lines += retention.counting(namespace)
    return on_lines(lines, outline.source.text)


def on_lines(lines: list[str], source: str) -> str:
    """The tags of the prelude, one a line; no newline is rendered, not even by engines without trim_blocks."""
    if not lines:
        return ""
    tags = "\n".join([lines[0], *(f"{{%-{line[2:]}" for line in lines[1:])])
    # A dash would also take white space that the source begins with.
    return f"{tags[:-2]}{'' if source[:1].isspace() else '-'}%}}\n"


def _innermost_loop(block: Block) -> Tag | None:
    return next((tag for tag in reversed(block.parents) if tag.name == "for"), None)


def _message_loop(outline: Outline, block: Block, lists: re.Pattern[str]) -> Tag:
    """The loop over messages that a reasoning block stands in."""
    place = Place(outline.source, block.tag.start, block.tag.end)
    for tag in reversed(block.parents):
        if tag.name == "macro":
            raise TemplateError(
                "{% reasoning %} inside a macro, where nothing tells which message is being rendered",
                place=place,
                hint="move the reasoning block out of the macro, or pass what it decides as an argument",
            )
        if tag.name == "for" and lists.search(tag.body.partition(" in ")[2]):
            return tag
    raise TemplateError(
        "{% reasoning %} outside a loop over messages",
        place=place,
        hint="put it inside {% for message in messages %}, where the message's reasoning is rendered",
    )


def _message_lists(outline: Outline) -> list[str]:
    """Names that hold the messages or a tail of them."""
    names = ["messages"]
    for tag in outline.tags:
        assigned = re.fullmatch(r"(\w+)\s*=\s*(\w+)\s*(\[[^\]]*:[^\]]*\])?", tag.body) if tag.name == "set" else None
        if assigned and assigned[2] in names and assigned[1] not in names:
            names.append(assigned[1])
    names += [name for name in sorted(outline.names) if name.endswith("_messages") and name not in names]
    return [re.escape(name) for name in names]


def _check_loop(outline: Outline, tag: Tag) -> None:
    """The distance from the end must mean the same in the loop as in the list of messages."""
    iterable = tag.body.partition(" in ")[2]
    assigned = [other.body.partition("=") for other in outline.tags if other.name == "set"]
    # The loop may go over a variable that was set to some of the messages before.
    names = re.findall(r"(?<![\w.])[a-z_]\w*", iterable)
    values = [value for name, _, value in assigned if name.strip() in names]
    reason = None
    for expression in (iterable, *values):
        if "::" in expression or "reverse" in expression:
            reason = "this loop does not go through the messages in their order"
        elif re.search(r"\|\s*(?!list\b)\w", expression) or (expression is iterable and re.search(r"\sif\s", iterable)):
            reason = "this loop leaves messages out"
        elif re.search(r"\[[^\]]*:\s*[^\s\]]", expression):
            reason = "this loop does not go on to the last message"
    if reason:
        raise TemplateError(
            f"{reason}, so a retention policy cannot tell which message is being rendered",
            place=Place(outline.source, tag.start, tag.end),
            hint="loop over all messages and put the condition in an {% if %} inside the loop",
        )
