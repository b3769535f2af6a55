"""Retention policies: which earlier reasoning traces are rendered, as data, and lowered to plain Jinja conditions.

The message being rendered is known by its distance from the end (``loop.revindex0``), which is the same for a loop
over all messages and over a tail of them such as ``messages[1:]``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from chattmpl.compiler.dialect import Block, Outline, Tag
from chattmpl.errors import TemplateError, UsageError, did_you_mean
from chattmpl.source import Place
from chattmpl.syntax.edits import Edit

VARIABLE = "reasoning_retention"
"""The variable that holds the policy's name in a template, and the kwarg of a template exported with ``runtime``."""


@dataclass(frozen=True)
class Policy:
    """A retention policy.

    Attributes:
        name: how users say it.
        summary: what it keeps, as documentation.
        condition: a Jinja expression, true where the trace of the message being rendered is kept.
        counts: whether the condition needs the number of messages after the last user message.
    """

    name: str
    summary: str
    condition: str
    counts: bool = False


# With a generation prompt, the last message is the one that comes.
_LAST = "loop.last and not add_generation_prompt"
_SINCE = "loop.revindex0 < {retention}.after_last_user"

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("all", "every assistant turn stays in history exactly as it was when it was sampled", "true"),
        Policy("since_last_user", "every assistant message after the last user message", _SINCE, counts=True),
        Policy("last", "only the last message, if it is the assistant's", _LAST),
        Policy("none", "no message", "false"),
        Policy(
            "runtime",
            f"what the template kwarg {VARIABLE} says",
            f"{VARIABLE} == 'all' or ({VARIABLE} == 'since_last_user' and {_SINCE})"
            f" or ({VARIABLE} == 'last' and {_LAST})",
            counts=True,
        ),
    )
}


@dataclass(frozen=True)
class Retention:
    """A policy as a family wants it.

    Attributes:
        policy: its name.
        default: what ``runtime`` does when the kwarg is absent.
        query: a Jinja test on ``message``: which messages count as the last user message.
        without_query: what ``since_last_user`` keeps in a conversation without such a message.
    """

    policy: str = "all"
    default: str = "all"
    query: str = "message.role == 'user'"
    without_query: Literal["all", "none"] = "all"


def policy_named(name: str, but: str = "") -> Policy:
    """The policy of this name, which may be any but one.

    Raises:
        UsageError: if there is none.
    """
    names = [known for known in POLICIES if known != but]
    if name not in names:
        raise UsageError(
            f"there is no retention policy {name!r}",
            hint=did_you_mean(str(name), names) or f"the policies are {', '.join(names)}",
        )
    return POLICIES[name]


def lower_reasoning(outline: Outline, retention: Retention) -> list[Edit]:
    """The edits that turn every reasoning tag into a condition, with what they need at the head of the template.

    Raises:
        TemplateError: for a reasoning tag that does not stand in a loop over messages.
    """
    policy = policy_named(retention.policy)
    namespace = "retention" if "retention" not in outline.names else "chattmpl_retention"
    condition = policy.condition.format(retention=namespace)
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
    prelude = _prelude(outline, retention, policy, namespace)
    return [Edit(0, 0, prelude), *edits] if prelude else edits


def _prelude(outline: Outline, retention: Retention, policy: Policy, namespace: str) -> str:
    lines = []
    if policy.name == "runtime":
        named = [name for name in POLICIES if name != "runtime"]
        lines.append(f"{{% set {VARIABLE} = {VARIABLE} | default('{retention.default}') %}}")
        lines.append(
            f"{{% if {VARIABLE} not in {named!r} %}}"
            f"{{{{ raise_exception('{VARIABLE} must be one of {', '.join(named)}') }}}}{{% endif %}}"
        )
    elif VARIABLE in outline.names and outline.reasoning:
        lines.append(f"{{% set {VARIABLE} = '{policy.name}' %}}")
    if policy.counts and outline.reasoning:
        lines += count_after_last_user(retention, namespace)
    return on_lines(lines, outline.source.text)


def on_lines(lines: list[str], source: str) -> str:
    """The tags of the prelude, one a line; no newline is rendered, not even by engines without trim_blocks."""
    if not lines:
        return ""
    tags = "\n".join([lines[0], *(f"{{%-{line[2:]}" for line in lines[1:])])
    # A dash would also take white space that the source begins with.
    return f"{tags[:-2]}{'' if source[:1].isspace() else '-'}%}}\n"


def count_after_last_user(retention: Retention, namespace: str) -> list[str]:
    """The tags that count the messages after the last user message, in an attribute of a namespace."""
    count = f"{namespace}.after_last_user"
    if retention.without_query == "all":
        return [
            f"{{% set {namespace} = namespace(after_last_user=0) %}}",
            "{% for message in messages %}",
            f"{{% if {retention.query} %}}{{% set {count} = 0 %}}"
            f"{{% else %}}{{% set {count} = {count} + 1 %}}{{% endif %}}",
            "{% endfor %}",
        ]
    return [
        f"{{% set {namespace} = namespace(after_last_user=0, asked=false) %}}",
        "{% for message in messages %}",
        f"{{% if {retention.query} %}}{{% set {count} = 0 %}}{{% set {namespace}.asked = true %}}"
        f"{{% elif {namespace}.asked %}}{{% set {count} = {count} + 1 %}}{{% endif %}}",
        "{% endfor %}",
    ]


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
