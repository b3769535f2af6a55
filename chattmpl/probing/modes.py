"""Template kwargs that change what is rendered: their values, and what each of them changes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chattmpl.compiler.policies import VARIABLE
from chattmpl.probing.corpus import (
    ASK,
    ASK_MORE,
    SAY,
    SAY_MORE,
    SYSTEM,
    TOOL,
    TOOL_NAME,
    TRACES,
    Message,
    call_message,
    result_message,
    with_trace,
)
from chattmpl.probing.prober import Prober
from chattmpl.syntax.nodes import Attribute, Comparison, Conditional, Constant, Expression, Filter, Keyword, Name, Node
from chattmpl.template.template import Template

Kind = Literal["switch", "choice", "text", "number", "data", "no effect"]
Section = Literal["start", "history", "generation prompt"]

NOT_MODES = frozenset(
    # The last two are arguments of `Template.render`, which hide template kwargs of these names.
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", VARIABLE}
    | {"conversation", "clock"}
)
"""Variables that every call passes, or that chattmpl owns."""

CONVENTIONS: dict[str, tuple[str, ...]] = {"reasoning_effort": ("low", "medium", "high")}
"""Values that a kwarg of this name has wherever it is used: a parameter of OpenAI's API."""

_WORD = "Sorrel sentinel"
_NUMBER = 7919
_DATA: tuple[Any, ...] = ([TOOL], [_WORD], {"content": _WORD}, _NUMBER)
_MOST_CONSTANTS = 8
_MOST_VARIABLES = 24
_PROBES = ("tools", "question", "answers")

Texts = tuple[str | None, ...]
"""The texts of the probes, in the order of `_PROBES`; None where the template raises."""


@dataclass
class Mode:
    """A kwarg.

    Attributes:
        name: the name of the kwarg.
        kind: a switch is true or false; a choice is one of several strings or numbers; text, numbers and data are
            printed.
        values: the values of a switch or a choice.
        default: the value that is equivalent to leaving the kwarg out, if there is one.
        changes: for each value, as JSON, the sections that differ from a rendering without the kwarg.
        texts: the texts of the probes for each value, as JSON.
        requires: another kwarg, without which this one has no effect.
        example: the value that was tried where there are no values.
    """

    name: str
    kind: Kind
    values: list[Any] = field(default_factory=list)
    default: Any = None
    changes: dict[str, list[Section]] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    example: Any = _WORD
    requires: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The kwarg with each value that changes something."""
        return [{**self.requires, self.name: value} for value in self.values if self.changes.get(json.dumps(value))]

    def changing(self, section: Section) -> list[dict[str, Any]]:
        """Return the kwarg with each value that changes a section."""
        values = {json.dumps(value): value for value in self.values} or {"…": self.example}
        return [
            {**self.requires, self.name: value} for key, value in values.items() if section in self.changes.get(key, ())
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the mode as JSON types."""
        return {
            "kind": self.kind,
            "values": self.values,
            "default": self.default,
            "changes": self.changes,
            "with": self.requires if self.kind != "no effect" else {},
        }


def mode_names(template: Template) -> list[str]:
    """Return the kwargs that a template reads, except those that every template gets."""
    names = template.program.variables - NOT_MODES
    return sorted(name for name in names if not name.endswith("_token") and name not in template.tokens)


def find_modes(prober: Prober) -> dict[str, Mode]:
    """Return the modes of a template by name; none if it renders no question."""
    if prober.refusal is not None:
        return {}
    found = {name: find_mode(prober, name) for name in mode_names(prober.template)[:_MOST_VARIABLES]}
    # Some kwargs have an effect only if another one enables reasoning.
    asks = next(
        (setting for mode in found.values() if mode.values for setting in mode.changing("generation prompt")), None
    )
    if asks is None:
        return found
    return {name: find_mode(prober, name, asks) if mode.kind == "no effect" else mode for name, mode in found.items()}


def candidate_values(template: Template, name: str) -> list[Any]:
    """Return the strings and numbers worth trying: those that a kwarg is compared with, by convention, or declared."""
    constants = _constants(template, name)[0]
    return [*dict.fromkeys((*constants, *CONVENTIONS.get(name, ()), *_declared(template, name)))]


def find_mode(prober: Prober, name: str, requires: Mapping[str, Any] | None = None) -> Mode:
    """Find the values and effects of one kwarg, which may require another one."""
    given = dict(requires or {})
    base = _texts(prober, given)
    mode = Mode(name, "no effect", requires=given)
    defaults = _constants(prober.template, name)[1]
    candidates = candidate_values(prober.template, name)
    switches = {value: _texts(prober, {**given, name: value}) for value in (True, False)}
    word = _texts(prober, {**given, name: _WORD})
    for value in candidates:
        mode.texts[json.dumps(value)] = _texts(prober, {**given, name: value})
    printed = any(_WORD in (text or "") for text in word)
    choices = list(_recognized(mode, candidates, base, word))
    if all(text is None for text in word):
        # It accepts only the values that it is compared with.
        choices = [value for value in candidates if any(mode.texts[json.dumps(value)])]
    if printed and not choices and name not in CONVENTIONS:
        mode.kind, mode.default = "text", _equivalent(mode, defaults, base)
        return _with_changes(mode, base, {"…": word})
    if choices or (printed and name in CONVENTIONS):
        mode.kind, mode.default = "choice", _equivalent(mode, [*defaults, *candidates], base)
        mode.values = [
            value for value in candidates if value == mode.default or _differ(mode.texts[json.dumps(value)], base)
        ]
        return _with_changes(mode, base, {json.dumps(value): mode.texts[json.dumps(value)] for value in mode.values})
    if _takes_data(prober, mode, base):
        return mode
    if any(_differ(texts, base) for texts in switches.values()):
        mode.kind, mode.values = "switch", [True, False]
        tried = {json.dumps(value): texts for value, texts in switches.items()}
        mode.texts.update(tried)
        mode.default = _equivalent(mode, mode.values, base)
        return _with_changes(mode, base, tried)
    return mode


def _probes(prober: Prober) -> list[tuple[list[Message], bool, bool]]:
    """Return the inputs to render each value with: messages, with or without tools and a generation prompt."""
    call = with_trace(call_message(**prober.call_options), TRACES[0])
    answer, more = with_trace(SAY, TRACES[1]), with_trace(SAY_MORE, TRACES[2])
    loop = [ASK, call, result_message(), answer, ASK_MORE]
    rich: list[tuple[list[Message], bool]] = [
        ([SYSTEM, *loop], True),
        (loop, True),
        ([SYSTEM, ASK, answer, ASK_MORE], True),
        ([ASK, answer, ASK_MORE], True),
        ([ASK, answer, ASK_MORE], False),
    ]
    chosen = next(
        ((messages, tools) for messages, tools in rich if prober.text(messages, tools=tools, prompt=True)), rich[-1]
    )
    return [(*chosen, True), ([ASK], False, True), ([ASK, answer, ASK_MORE, more], False, False)]


def _texts(prober: Prober, kwargs: Mapping[str, Any]) -> Texts:
    return tuple(
        prober.text(messages, tools=tools, prompt=prompt, kwargs=kwargs) for messages, tools, prompt in _probes(prober)
    )


def _declared(template: Template, name: str) -> list[Any]:
    """Return the strings that a family declares for a mode. They are only tried; rendering shows their effects."""
    declared = template.family.modes.get(name) if template.family else None
    return [value for value in declared.values if isinstance(value, str)] if declared else []


def _recognized(mode: Mode, constants: list[Any], base: Texts, word: Texts) -> Iterator[Any]:
    """Yield the constants that the template treats differently from any other string, or from the default."""
    for value in constants:
        texts = mode.texts[json.dumps(value)]
        plain = tuple(None if text is None else text.replace(str(value), "") for text in texts)
        other = tuple(None if text is None else text.replace(_WORD, "") for text in word)
        if _differ(texts, base) and _differ(plain, other):
            yield value


def _takes_data(prober: Prober, mode: Mode, base: Texts) -> bool:
    """Return whether a list, an object or a number is printed, and record it in the mode."""
    for value in _DATA:
        texts = _texts(prober, {**mode.requires, mode.name: value})
        pairs = [(text or "", old or "") for text, old in zip(texts, base, strict=True)]
        words = (TOOL_NAME, _WORD, str(_NUMBER))
        if any(text.count(word) > old.count(word) for word in words for text, old in pairs):
            mode.kind = "number" if isinstance(value, int) else "data"
            mode.example = value
            _with_changes(mode, base, {"…": texts})
            return True
    return False


def _equivalent(mode: Mode, values: list[Any], base: Texts) -> Any:
    """Return the first value that renders the same texts as leaving the kwarg out; None if none does."""
    return next((value for value in values if mode.texts[json.dumps(value)] == base), None)


def _differ(texts: Texts, base: Texts) -> bool:
    pairs = zip(texts, base, strict=True)
    return any(text is not None and other is not None and text != other for text, other in pairs)


def _with_changes(mode: Mode, base: Texts, values: Mapping[str, Texts]) -> Mode:
    for value, texts in values.items():
        mode.changes[value] = list(dict.fromkeys(_changes(base, texts)))
    return mode


def _changes(base: Texts, texts: Texts) -> Iterator[Section]:
    sections: tuple[Section, ...] = ("start", "history", "generation prompt")
    for index, name in enumerate(sections):
        for probe, before, after in zip(_PROBES, base, texts, strict=True):
            if before is None or after is None:
                continue
            if _sections(before)[index] != _sections(after)[index]:
                # In that probe an answer follows the last question.
                yield "history" if name == "generation prompt" and probe == "answers" else name


def _sections(text: str) -> tuple[str, str, str]:
    start, _, rest = text.partition(ASK["content"])
    last = rest.rfind(ASK_MORE["content"])
    return (start, "", rest) if last < 0 else (start, rest[:last], rest[last:])


# -- constants that a variable is compared with


def _constants(template: Template, name: str) -> tuple[list[Any], list[Any]]:
    """Return the constants that a variable or a value made of it is compared with or set to, and its defaults."""
    names = {name}
    tree = template.program.syntax
    assignments = [
        (_name(tag.target), tag.value) for tag in tree.tags if tag.name == "set" and tag.target and tag.value
    ]
    for _ in range(2):
        names.update(target for target, value in assignments if target is not None and _mentions(value, names))
    compared: dict[Any, None] = {}
    defaults: dict[Any, None] = {}
    for node in tree.everything:
        match node:
            case Comparison():
                # Of `'x' in variable` the variable is a list: that is no choice.
                pairs = zip(node.operators, node.items[1:], strict=True)
                held = any(operator in ("in", "not in") and _mentions(operand, names) for operator, operand in pairs)
                if not held and _mentions(node, names):
                    compared.update(dict.fromkeys(_values(node)))
            case Filter(name="default" | "d", value=Expression() as value) if _mentions(value, names):
                given = (argument for argument in node.arguments if not isinstance(argument, Keyword))
                defaults.update(dict.fromkeys(value for argument in given for value in _values(argument)))
            case Conditional():
                branches = [branch for branch in (node.value, node.otherwise) if branch is not None]
                if any(_mentions(branch, names) for branch in branches):
                    defaults.update(dict.fromkeys(value for branch in branches for value in _values(branch)))
    for target, value in assignments:
        if target in names and isinstance(value.unwrapped, Constant):
            defaults.update(dict.fromkeys(_values(value)))
    every = list({**compared, **defaults})[:_MOST_CONSTANTS]
    return every, [value for value in defaults if value in every]


def _values(expression: Expression) -> Iterator[Any]:
    for constant in expression.find(Constant):
        value = constant.value
        usable = isinstance(value, int) and not isinstance(value, bool)
        # A string that reads as a boolean is refused as a kwarg.
        if usable or (
            isinstance(value, str)
            and re.fullmatch(r"[\w .:/-]{1,40}", value)
            and value.lower() not in ("true", "false")
        ):
            yield value


def _mentions(expression: Expression, names: set[str]) -> bool:
    return any(_name(node) in names for node in expression.walk())


def _name(node: Node) -> str | None:
    """Return a variable, or an attribute of one: ``namespace.attribute``."""
    match node:
        case Name():
            return node.name
        case Attribute(value=Name() as variable):
            return f"{variable.name}.{node.name}"
    return None


# -- settings to check a template in

_MOST_SETTINGS = 8


def find_settings(template: Template, modes: Mapping[str, Mode]) -> list[dict[str, Any]]:
    """Return the kwargs to check a template with, one value each: ``[{"enable_thinking": False}, …]``.

    For a family, the values of its ``[modes]`` that are not the default. For another template, the values of switches
    and choices that change a text, without those that change it in the same way.
    """
    if template.family is not None:
        declared = template.family.modes.items()
        return [{name: value} for name, mode in declared for value in mode.values if value != mode.default]
    known: list[Texts] = []
    found = []
    for name, mode in modes.items():
        for setting in mode.settings:
            texts = mode.texts[json.dumps(setting[name])]
            if texts not in known:
                known.append(texts)
                found.append(setting)
    return found[:_MOST_SETTINGS]
