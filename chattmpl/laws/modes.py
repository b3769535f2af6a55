"""Modes: the kwargs that switch what a template does, with the values worth trying.

A family declares its modes. Those of other templates are read off their syntax tree: a variable that conditions ask for
its truth is a switch, and one that is compared with constants has these as its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from chattmpl.compiler.policies import VARIABLE
from chattmpl.errors import ChatTmplError
from chattmpl.template.template import Template

MOST = 8
"""How many values are tried at most, over all modes of a template."""

GIVEN = frozenset(
    # The last two are arguments of `Template.render`, which hide template kwargs of these names.
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", VARIABLE}
    | {"conversation", "clock"}
)
"""What is passed in every call, or is our own: no kwargs that switch what a template does."""

_PROBES: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "Hi"}]},
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "reasoning_content": "Greet"},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "Bye", "reasoning_content": "Part"},
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "Call",
                "tool_calls": [
                    {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
                ],
            },
            {"role": "tool", "name": "f", "tool_call_id": "call00001", "content": "2"},
            {"role": "assistant", "content": "Two"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "F.",
                    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
                },
            }
        ],
    },
)


def modes(template: Template) -> list[dict[str, Any]]:
    """The kwargs that switch what a template does, one value each: ``[{"enable_thinking": False}, …]``.

    For a family these are the values of its ``[modes]`` that are not the default. For another template they are found
    in its syntax tree, and left out where they change nothing in a few small conversations or make all of them fail.
    """
    if template.family is not None:
        declared = template.family.modes.items()
        return [{name: value} for name, mode in declared for value in mode.values if value != mode.default]
    usual = _texts(template, {})
    matrix: list[tuple[dict[str, Any], list[str | None]]] = []
    for name, values in sorted(found_modes(template).items()):
        for value in values:
            made = _texts(template, {name: value})
            changed = any(text not in (None, other) for text, other in zip(made, usual, strict=True))
            if changed and made not in [known for _, known in matrix]:
                matrix.append(({name: value}, made))
    return [kwargs for kwargs, _ in matrix[:MOST]]


def found_modes(template: Template, concerned: Callable[[str], Any] = bool) -> dict[str, tuple[Any, ...]]:
    """The variables that a template reads in conditions, each with the values that the conditions ask for.

    Args:
        template: whose conditions.
        concerned: whether a variable of this name is looked at.
    """
    free = {name for name in template.program.variables - GIVEN if concerned(name)}
    uses = {name: _Uses() for name in free if not name.endswith("_token") and name not in template.tokens}
    if not uses:
        return {}
    everything = template.program.every_node
    aliases = {name: {name} for name in uses}
    for node in everything:
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            for source in set(_passed_on(node.node)) & uses.keys():
                aliases[source].add(node.target.name)
    owners: dict[str, list[_Uses]] = {}
    for name, known in aliases.items():
        for alias in known:
            owners.setdefault(alias, []).append(uses[name])
    for node in everything:
        _note(node, owners)
    return {name: use.values() for name, use in uses.items() if use.values()}


@dataclass
class _Uses:
    """How one variable is used: asked for its truth, compared with constants, printed, looked into."""

    asked: bool = False
    constants: list[Any] = field(default_factory=list)
    as_data: bool = False
    as_container: bool = False

    def values(self) -> tuple[Any, ...]:
        """The values worth trying: what it is compared with, else true and false where its truth is asked for."""
        if self.as_container:
            return ()
        plain = tuple(dict.fromkeys(value for value in self.constants if not isinstance(value, bool)))
        if plain:
            return plain
        return (True, False) if (self.asked or self.constants) and not self.as_data else ()


def _passed_on(node: nodes.Node) -> Iterator[str]:
    """The variables whose value an expression may have: ``a`` of ``a | default(1)`` and of ``a if a is defined``."""
    if isinstance(node, nodes.Name):
        yield node.name
    elif isinstance(node, nodes.Filter) and node.node is not None:
        yield from _passed_on(node.node)
    elif isinstance(node, nodes.CondExpr):
        for branch in (node.expr1, node.expr2):
            if branch is not None:
                yield from _passed_on(branch)
    elif isinstance(node, (nodes.And, nodes.Or)):
        yield from _passed_on(node.left)
        yield from _passed_on(node.right)
    elif isinstance(node, nodes.Not):
        yield from _passed_on(node.node)


def _note(node: nodes.Node, owners: dict[str, list[_Uses]]) -> None:
    """What one node says of the variables."""
    if isinstance(node, (nodes.If, nodes.CondExpr)):
        for name in _asked(node.test):
            for use in owners.get(name, ()):
                use.asked = True
    elif isinstance(node, nodes.Compare):
        names = [*_passed_on(node.expr), *(name for operand in node.ops for name in _passed_on(operand.expr))]
        values = list(_constants(node))
        for name in names:
            for use in owners.get(name, ()):
                use.constants += values
        searched = [operand.expr for operand in node.ops if operand.op in ("in", "notin")]
        for name in (name for holder in searched for name in _passed_on(holder)):
            for use in owners.get(name, ()):
                use.as_container = True
    elif isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.node is not None:
        values = [item.value for item in node.args if isinstance(item, nodes.Const) and isinstance(item.value, bool)]
        for name in _passed_on(node.node):
            for use in owners.get(name, ()):
                use.constants += values
    elif isinstance(node, (nodes.For, nodes.Getattr, nodes.Getitem)):
        holder = node.iter if isinstance(node, nodes.For) else node.node
        for name in _passed_on(holder):
            for use in owners.get(name, ()):
                use.as_container = True
    elif isinstance(node, (nodes.Output, nodes.Concat, nodes.Add)):
        parts = [node.left, node.right] if isinstance(node, nodes.Add) else node.nodes
        for name in (name for part in parts for name in _passed_on(part)):
            for use in owners.get(name, ()):
                use.as_data = True


def _asked(test: nodes.Node) -> Iterator[str]:
    """The variables whose truth a condition asks for."""
    if isinstance(test, nodes.Name):
        yield test.name
    elif isinstance(test, nodes.Filter):
        yield from _passed_on(test)
    elif isinstance(test, nodes.Not):
        yield from _asked(test.node)
    elif isinstance(test, (nodes.And, nodes.Or)):
        yield from _asked(test.left)
        yield from _asked(test.right)
    elif isinstance(test, nodes.Test) and test.name in ("true", "false"):
        yield from _passed_on(test.node)


def _constants(node: nodes.Compare) -> Iterator[Any]:
    """What a comparison compares with."""
    for part in (node.expr, *(operand.expr for operand in node.ops)):
        items = part.items if isinstance(part, (nodes.List, nodes.Tuple)) else [part]
        for item in items:
            if isinstance(item, nodes.Const) and isinstance(item.value, (str, int)) and item.value != "":
                yield item.value


def _texts(template: Template, kwargs: dict[str, Any]) -> list[str | None]:
    """What the probes render to, with and without a generation prompt; None where the template raises."""
    from chattmpl.laws.law import CLOCK

    made: list[str | None] = []
    for conversation in _PROBES:
        for prompt in (False, True):
            try:
                made.append(template.render(conversation, prompt, CLOCK, **kwargs).text)
            except ChatTmplError:
                made.append(None)
    return made
