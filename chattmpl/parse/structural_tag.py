r"""Structural tags of xgrammar: free text, in which the text that opens calls is followed by calls.

    {"type": "triggered_tags", "triggers": ["<tool_call>"], "tags": [{"begin": "<tool_call>\n", …}], …}

Source of the format: ``xgrammar/structural_tag.py`` and the page *Structural Tag* of its documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.forms import OPTIONAL, Arguments, Calls, JsonCall, Slot
from chattmpl.parse.gbnf import SHORT, Rules, completion_grammars, variants
from chattmpl.parse.turn_grammar import TurnGrammar, function_of
from chattmpl.parse.values import common_end
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Template

Schema = Mapping[str, Any]

_OBJECT: Schema = {"type": "object"}
_ANY: Schema = {"anyOf": [_OBJECT, {"type": "string"}]}
"""Arguments of a function that is not known; templates also take them as a string of JSON."""


def structural_tag(template: Template, tools: Iterable[Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """Return the structural tag of the turns that follow a generation prompt of the template.

    Args:
        template: the template.
        tools: definitions of the functions that may be called; any function if None.
        kwargs: template kwargs, such as ``enable_thinking``.

    Raises:
        UsageError: no grammar can be derived, or no text that other text lacks opens the calls.
    """
    grammars = completion_grammars(template, kwargs)
    found = [
        (part, stop)
        for grammar in grammars
        for parts, stop in variants(grammar)
        for part in parts
        if isinstance(part, Calls)
    ]
    begin = found[0][0].start if found else ""
    for calls, _ in found:
        begin = begin[len(begin) - common_end(begin, calls.start) :]
    begin = begin.lstrip()
    if len(begin.strip()) <= SHORT:
        why = f"its calls begin with {begin!r}, as other text may" if found else "it renders no calls"
        raise UsageError(f"{template.name} has no structural tag: {why}", hint="use --format gbnf")
    functions = None if tools is None else list(map(_function, tools))
    if functions == []:
        raise UsageError(f"{template.name} has no structural tag: there are no tools", hint="leave out the empty list")
    tags: list[dict[str, Any]] = []
    for calls, stop in found:
        tag = _tag(calls, begin, stop, functions)
        if tag not in tags:
            tags.append(tag)
    forms = [form for grammar in grammars for form in grammar.forms]
    inside = [part.start if isinstance(part, Calls) else str(part) for form in forms for part in form.parts]
    stops = {form.stop for form in forms if form.stop and not any(form.stop in text for text in inside)}
    last = all(isinstance(form.parts[-1], Calls) for form in forms if "calls" in form.fields)
    text = {"type": "triggered_tags", "triggers": [_trigger(begin, grammars)], "tags": tags, "stop_after_first": last}
    return {"type": "structural_tag", "format": {**text, "excludes": sorted(stops)}}


def _trigger(begin: str, grammars: Sequence[TurnGrammar]) -> str:
    """Return the control token or tag that opens calls, unless it has another use; then more of their opening text."""
    token = grammars[0].markup.match(begin)
    elsewhere = [part for grammar in grammars for form in grammar.forms for part in form.parts if isinstance(part, str)]
    return token[0] if token and not any(token[0] in text for text in elsewhere) else begin.rstrip()


def _function(tool: Any) -> tuple[str, Schema]:
    """Return the name and the schema of the parameters of a function."""
    if (found := function_of(tool)) is None:
        raise UsageError("a tool has no name", hint='expected {"type": "function", "function": {"name": …}}')
    return found[0], found[1] or _OBJECT


def _tag(calls: Calls, begin: str, stop: str, functions: list[tuple[str, Schema]] | None) -> dict[str, Any]:
    parts = list(calls.call)
    first = str(parts.pop(0)) if isinstance(parts[0], str) else ""
    last = str(parts.pop()) if parts and isinstance(parts[-1], str) else ""
    call = _call(parts, last + calls.closes, functions)
    again = {"type": "star", "content": _sequence([_text(last + calls.separator + first), call])}
    end = last + calls.closes
    ends = [end, *([end + stop] if stop else [])]
    control = next(reversed(list(CONTROL.finditer(end))), None)
    if control is not None and not stop and not end[control.end() :].strip() and control.start():
        ends.append(end[: control.start()])  # It may be the stop token of calls, which is not sampled as text.
    content = _sequence([call, again]) if calls.many else call
    return {"type": "tag", "begin": begin, "content": content, "end": ends}


def _call(parts: Sequence[Any], following: str, functions: list[tuple[str, Schema]] | None) -> dict[str, Any]:
    """Return the format of one call, of any of the functions."""
    known: Sequence[tuple[str | None, Schema]] = [(None, _ANY)] if functions is None else functions
    if isinstance(parts[0], JsonCall) and len(parts) == 1:
        schemas = [_schema(parts[0].shape, name, parameters) for name, parameters in known]
        return {"type": "json_schema", "json_schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    if Slot("name") not in parts:
        known = [(None, {"anyOf": [parameters for _, parameters in known]})]
    each = [_written(parts, following, name, parameters) for name, parameters in known]
    return each[0] if len(each) == 1 else {"type": "or", "elements": each}


def _written(parts: Sequence[Any], following: str, name: str | None, parameters: Schema) -> dict[str, Any]:
    """Return the format of a call of a function that is not a JSON object."""
    elements: list[dict[str, Any]] = []
    ahead = [*parts[1:], following]
    taken = False
    for part, after in zip(parts, ahead, strict=True):
        if taken:
            taken = False
        elif isinstance(part, str):
            elements.append(_text(part))
        elif part == Slot("name") and name is not None:
            elements.append(_text(name))
        elif isinstance(part, Arguments) and part.notation == "json":
            elements.append({"type": "json_schema", "json_schema": parameters})
        else:
            rules = Rules()
            taken = isinstance(part, Slot) and isinstance(after, str) and after is not following
            root = rules.call([part, after] if taken else [part], following)
            elements.append({"type": "grammar", "grammar": rules.text(root)})
    return _sequence(elements)


def _schema(shape: Any, name: str | None, parameters: Schema) -> Schema:
    """Return the JSON schema of a call that is a JSON object."""
    if isinstance(shape, Slot):
        named = {"type": "string"} if name is None else {"const": name}
        known = {"arguments": parameters, "name": named, "type": {"type": "string"}}
        return known.get(shape.field, {"type": ["string", "integer", "null"]})
    if not isinstance(shape, Mapping):
        return {"const": shape}
    if any(isinstance(key, Slot) for key in shape):
        (inner,) = shape.values()
        made = _schema(inner, name, parameters)
        if name is None:
            return {"type": "object", "additionalProperties": made, "minProperties": 1, "maxProperties": 1}
        shape = {name: inner}
    return {
        "type": "object",
        "properties": {key: _schema(inner, name, parameters) for key, inner in shape.items()},
        "required": [k for k, inner in shape.items() if not (isinstance(inner, Slot) and inner.field in OPTIONAL)],
        "additionalProperties": False,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "const_string", "value": text}


def _sequence(elements: list[dict[str, Any]]) -> dict[str, Any]:
    return elements[0] if len(elements) == 1 else {"type": "sequence", "elements": elements}
