"""Modes: template kwargs that change what is rendered, the values that do, and what each of them changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from jinja2 import nodes

from chattmpl.capabilities.conversations import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TOOL,
    TRACES,
    Message,
    calling,
    result,
    thinking,
)
from chattmpl.capabilities.prober import Prober
from chattmpl.laws.modes import GIVEN
from chattmpl.lint.context import Subject

Kind = Literal["switch", "choice", "text", "number", "data", "no effect"]

CONVENTIONS: dict[str, tuple[str, ...]] = {"reasoning_effort": ("low", "medium", "high")}
"""Values that a kwarg of this name has wherever it is used: a parameter of OpenAI's API."""

_WORD = "Sorrel sentinel"
_MOST_CONSTANTS = 8
_MOST_VARIABLES = 24
_DATA: tuple[Any, ...] = ([TOOL], [_WORD], {"content": _WORD}, 7919)
_PROBES = ("tools", "question", "answers")


@dataclass
class Mode:
    """A kwarg.

    Attributes:
        name: of the kwarg.
        kind: a switch is true or false; a choice is one of some strings or numbers; text and data are printed.
        values: those that matter; for text and data none.
        default: the value that is as good as none at all, where there is one.
        changes: for each value, as JSON writes it, what is not as without the kwarg.
        texts: what the probes render to, for each value.
        beside: another kwarg without which this one does nothing.
        example: where there are no values, what it was tried with.
    """

    name: str
    kind: Kind
    values: list[Any] = field(default_factory=list)
    default: Any = None
    changes: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    example: Any = _WORD
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The kwarg with each value that changes something."""
        return [{**self.beside, self.name: value} for value in self.values if self.changes.get(shown(value))]

    def changing(self, what: str) -> list[dict[str, Any]]:
        """The kwarg with each value that changes this part of the text."""
        values = {shown(value): value for value in self.values} or {"…": self.example}
        return [{**self.beside, self.name: value} for key, value in values.items() if what in self.changes.get(key, ())]

    def to_dict(self) -> dict[str, Any]:
        """The mode as JSON."""
        return {
            "kind": self.kind,
            "values": self.values,
            "default": self.default,
            "changes": self.changes,
            "with": self.beside if self.kind != "no effect" else {},
        }


def shown(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value)


def find_modes(prober: Prober) -> list[Mode]:
    """The kwargs that the template reads, beside those that every template is given."""
    if prober.base is not None:
        return []
    names = sorted(
        name for name in prober.subject.variables - GIVEN if not name.endswith("_token") and name not in prober.tokens
    )
    modes = [_mode(prober, name, {}) for name in names[:_MOST_VARIABLES]]
    # Some kwargs do something only where another one asks for reasoning.
    asks = next((setting for mode in modes if mode.values for setting in mode.changing("generation prompt")), None)
    if asks is None:
        return modes
    return [_mode(prober, mode.name, asks) if mode.kind == "no effect" else mode for mode in modes]


def _conversations(prober: Prober) -> dict[str, tuple[list[Message], bool, bool]]:
    """What each value is rendered with: messages, whether with tools, whether with the generation prompt."""
    call = thinking(calling(**prober.call_options), TRACES[0])
    answer, more = thinking(SAY, TRACES[1]), thinking(SAY_MORE, TRACES[2])
    rich: list[tuple[list[Message], bool]] = [
        ([SYSTEM, ASK, call, result(), answer, ASK_MORE], True),
        ([ASK, call, result(), answer, ASK_MORE], True),
        ([SYSTEM, ASK, answer, ASK_MORE], True),
        ([ASK, answer, ASK_MORE], True),
        ([ASK, answer, ASK_MORE], False),
    ]
    chosen = next(
        ((messages, tools) for messages, tools in rich if prober.text(messages, tools=tools, prompt=True)), rich[-1]
    )
    return {
        "tools": (*chosen, True),
        "question": ([ASK], False, True),
        "answers": ([ASK, answer, ASK_MORE, more], False, False),
    }


def _texts(prober: Prober, kwargs: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(
        prober.text(messages, tools=tools, prompt=prompt, kwargs=kwargs)
        for messages, tools, prompt in _conversations(prober).values()
    )


def _mode(prober: Prober, name: str, beside: dict[str, Any]) -> Mode:
    base = _texts(prober, beside)
    mode = Mode(name, "no effect", beside=beside)
    constants, defaults = _constants(prober.subject, name)
    candidates = [*dict.fromkeys((*constants, *CONVENTIONS.get(name, ()), *_declared(prober, name)))]
    switches = {value: _texts(prober, {**beside, name: value}) for value in (True, False)}
    word = _texts(prober, {**beside, name: _WORD})
    for value in candidates:
        mode.texts[shown(value)] = _texts(prober, {**beside, name: value})
    printed = any(_WORD in (text or "") for text in word)
    choices = list(_unlike(mode, candidates, base, word))
    if all(text is None for text in word):
        # It takes nothing else; what it is compared with is what it takes.
        choices = [value for value in candidates if any(mode.texts[shown(value)])]
    if printed and not choices and name not in CONVENTIONS:
        mode.kind = "text"
        mode.default = next((value for value in defaults if mode.texts[shown(value)] == base), None)
        return _with_changes(mode, base, {"…": word})
    if choices or (printed and name in CONVENTIONS):
        mode.kind = "choice"
        mode.default = next((value for value in defaults if mode.texts[shown(value)] == base), None)
        if mode.default is None:
            mode.default = next((value for value in candidates if mode.texts[shown(value)] == base), None)
        mode.values = [value for value in candidates if _counts(mode, value, base)]
        return _with_changes(mode, base, {shown(value): mode.texts[shown(value)] for value in mode.values})
    if _takes_data(prober, mode, base):
        return mode
    if any(_differ(texts, base) for texts in switches.values()):
        mode.kind, mode.values = "switch", [True, False]
        mode.default = next((value for value, texts in switches.items() if texts == base), None)
        mode.texts.update({shown(value): texts for value, texts in switches.items()})
        return _with_changes(mode, base, {shown(value): texts for value, texts in switches.items()})
    return mode


def _declared(prober: Prober, name: str) -> list[Any]:
    """The strings that a family declares for a mode: what to try, not what they do."""
    family = prober.template.family
    declared = family.modes.get(name) if family else None
    return [value for value in declared.values if isinstance(value, str)] if declared else []


def _unlike(
    mode: Mode, constants: list[Any], base: tuple[str | None, ...], word: tuple[str | None, ...]
) -> Iterator[Any]:
    """The constants that are told from any other string, or from the default."""
    for value in constants:
        texts = mode.texts[shown(value)]
        plain = tuple(None if text is None else text.replace(str(value), "") for text in texts)
        other = tuple(None if text is None else text.replace(_WORD, "") for text in word)
        if _differ(texts, base) and _differ(plain, other):
            yield value


def _counts(mode: Mode, value: Any, base: tuple[str | None, ...]) -> bool:
    return value == mode.default or _differ(mode.texts[shown(value)], base)


def _takes_data(prober: Prober, mode: Mode, base: tuple[str | None, ...]) -> bool:
    tool_name = TOOL["function"]["name"]  # type: ignore[index]
    for value in _DATA:
        texts = _texts(prober, {**mode.beside, mode.name: value})
        words = (tool_name, _WORD, "7919")
        pairs = [(text or "", old or "") for text, old in zip(texts, base, strict=True)]
        if any(text.count(word) > old.count(word) for word in words for text, old in pairs):
            mode.kind = "number" if isinstance(value, int) else "data"
            mode.example = value
            _with_changes(mode, base, {"…": texts})
            return True
    return False


def _differ(texts: tuple[str | None, ...], base: tuple[str | None, ...]) -> bool:
    pairs = zip(texts, base, strict=True)
    return any(text is not None and other is not None and text != other for text, other in pairs)


def _with_changes(mode: Mode, base: tuple[str | None, ...], values: dict[str, tuple[str | None, ...]]) -> Mode:
    for value, texts in values.items():
        mode.changes[value] = list(dict.fromkeys(_changes(base, texts)))
    return mode


def _changes(base: tuple[str | None, ...], texts: tuple[str | None, ...]) -> Iterator[str]:
    """What differs: the start (before the first question), the history, or the generation prompt."""
    for index, name in enumerate(("start", "history", "generation prompt")):
        for probe, before, after in zip(_PROBES, base, texts, strict=True):
            if before is None or after is None:
                continue
            if _sections(before)[index] != _sections(after)[index]:
                # Behind the last question of that probe stands an answer.
                yield "history" if name == "generation prompt" and probe == "answers" else name


def _sections(text: str) -> tuple[str, str, str]:
    start, _, rest = text.partition(ASK["content"])
    last = rest.rfind(ASK_MORE["content"])
    if last < 0:
        return start, "", rest
    return start, rest[:last], rest[last:]


# -- constants that a variable is compared with


def _constants(subject: Subject, name: str) -> tuple[list[Any], list[Any]]:
    """Constants that a variable, or what is made of it, is compared with or set to; and those that it is set to."""
    names = {name}
    for _ in range(2):
        for assign in subject.nodes(nodes.Assign):
            target = _target(assign.target)
            if target is not None and _mentions(assign.node, names):
                names.add(target)
    compared: dict[Any, None] = {}
    defaults: dict[Any, None] = {}
    for compare in subject.nodes(nodes.Compare):
        # Of `'x' in variable` the variable is a list: that is no choice.
        held = any(operand.op in ("in", "notin") and _mentions(operand, names) for operand in compare.ops)
        if not held and _mentions(compare, names):
            compared.update(dict.fromkeys(_values(compare)))
    for filtered in subject.nodes(nodes.Filter):
        if filtered.name in ("default", "d") and filtered.node is not None and _mentions(filtered.node, names):
            defaults.update(dict.fromkeys(value for argument in filtered.args for value in _values(argument)))
    for condition in subject.nodes(nodes.CondExpr):
        branches = [branch for branch in (condition.expr1, condition.expr2) if branch is not None]
        if any(_mentions(branch, names) for branch in branches):
            defaults.update(dict.fromkeys(value for branch in branches for value in _values(branch)))
    for assign in subject.nodes(nodes.Assign):
        if _target(assign.target) in names and isinstance(assign.node, nodes.Const):
            defaults.update(dict.fromkeys(_values(assign.node)))
    every = list({**compared, **defaults})[:_MOST_CONSTANTS]
    return every, [value for value in defaults if value in every]


def _values(node: nodes.Node) -> Iterator[Any]:
    constants = [node] if isinstance(node, nodes.Const) else list(node.find_all(nodes.Const))
    for constant in constants:
        value = constant.value
        usable = isinstance(value, int) and not isinstance(value, bool)
        # What would read as a boolean in quotes is refused as a slip.
        if usable or (
            isinstance(value, str)
            and re.fullmatch(r"[\w .:/-]{1,40}", value)
            and value.lower() not in ("true", "false")
        ):
            yield value


def _target(target: nodes.Node) -> str | None:
    if isinstance(target, nodes.Name):
        return target.name
    return f"{target.name}.{target.attr}" if isinstance(target, nodes.NSRef) else None


def _mentions(node: nodes.Node, names: set[str]) -> bool:
    inner: list[nodes.Node] = list(node.find_all((nodes.Name, nodes.Getattr)))
    return any(_name(found) in names for found in (node, *inner))


def _name(node: nodes.Node) -> str | None:
    """A variable, or an attribute of one, as `_target` calls it."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else None
