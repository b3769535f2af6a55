"""transformers' ``response_template``: how ``tokenizer.parse_response`` reads what a model of the family sampled.

It is derived from the ``[parse]`` table of the family. The format knows regions with an opening and a closing, each
read by one parser; what it cannot express is left out by name, or refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.grammar import Grammar, grammar_of
from chattmpl.parse.pattern import Hole, Pattern
from chattmpl.parse.reply import pattern_text
from chattmpl.template.template import Template

_VERBATIM = {"content": "text", "content_args": {"strip": False}}
_CAPTURED = ("name", "id", "type")
_MARK = "\ue000"
"""Stands for a hole while a pattern is read as JSON."""


@dataclass(frozen=True)
class ResponseTemplate:
    """A ``response_template``, and what it does without.

    Attributes:
        data: the template, as ``tokenizer_config.json`` has it.
        left_out: what the format cannot express, a sentence each.
    """

    data: dict[str, Any]
    left_out: tuple[str, ...] = field(default=())


def response_template(template: Template) -> ResponseTemplate:
    """The ``response_template`` of a family.

    Raises:
        UsageError: for a template that is no family with a ``[parse]`` table, or whose replies the format cannot
            express; it says why.
    """
    grammar = grammar_of(template)
    left_out: list[str] = []
    fields: dict[str, Any] = {}
    if grammar.reasoning:
        fields["reasoning_content"] = _reasoning(template, grammar)
    fields["content"] = _content(grammar)
    calls = _calls(template, grammar, left_out)
    if calls is not None:
        fields["tool_calls"] = calls
    opens = (frame.facts.opens for frame in grammar.frames if frame.facts.role == "assistant")
    anchors = [text for text in dict.fromkeys(opens) if text and "${" not in text]
    if not anchors:
        raise _refusal(template, "its assistant turns have no header that is always the same")
    data = {
        "version": 1,
        "defaults": {"role": "assistant", "content": ""},
        "start_anchor": anchors[0] if len(anchors) == 1 else anchors,
        "fields": fields,
    }
    return ResponseTemplate(data, tuple(left_out))


def _refusal(template: Template, why: str) -> UsageError:
    return UsageError(
        f"{template.name} has no response_template: {why}", hint="Template.parse reads it; see docs/parsing.md"
    )


def _endings(grammar: Grammar) -> list[str]:
    """What ends a reply: a stop token, with what the template writes behind it."""
    return [ending for ending in grammar.endings if ending]


def _reasoning(template: Template, grammar: Grammar) -> dict[str, Any]:
    """The trace, which stands where a reply begins."""
    if len(grammar.reasoning) > 1:
        raise _refusal(template, "its traces are written in more than one way")
    opens, closes = _around(grammar.reasoning[0])
    return {"open_pattern": rf"\A{re.escape(opens)}", "close": closes, **_VERBATIM}


def _content(grammar: Grammar) -> dict[str, Any]:
    """The answer: all text that belongs to nothing else, or what stands in its frame."""
    endings = _endings(grammar)
    if not grammar.content:
        return {"close": endings, **_VERBATIM}
    around = [_around(pattern) for pattern in grammar.content]
    closes = list(dict.fromkeys([close for _, close in around if close] + endings))
    return {"open": [opens for opens, _ in around], "close": closes, **_VERBATIM}


def _around(pattern: Pattern) -> tuple[str, str]:
    """What stands before and behind the one hole of a pattern."""
    parts = list(pattern.parts)
    index = next(number for number, part in enumerate(parts) if isinstance(part, Hole))
    return "".join(map(str, parts[:index])), "".join(map(str, parts[index + 1 :]))


def _calls(template: Template, grammar: Grammar, left_out: list[str]) -> dict[str, Any] | None:
    """The tool calls, written in the first way that the format can express."""
    if grammar.calls is None:
        return None
    made: dict[str, Any] | None = None
    for pattern in grammar.calls.each:
        found = None if made else (_as_json(grammar, pattern) or _as_regions(grammar, pattern))
        if found is None:
            left_out.append(f"calls written as {pattern_text(pattern.parts)!r} stay in the content")
        made = made or found
    if made is None:
        raise _refusal(template, f"its calls are neither JSON nor a name with JSON arguments: {left_out[0]}")
    return {**made, "repeats": True} if not made.get("transform_each") else made


def _as_json(grammar: Grammar, pattern: Pattern) -> dict[str, Any] | None:
    """Calls that are objects of JSON, each in a region of its own, or a list of them in one region."""
    assert grammar.calls is not None
    facts = grammar.calls.facts
    text = "".join(part if isinstance(part, str) else _placeholder(part) for part in pattern.parts)
    start, end = text.find("{"), text.rfind("}") + 1
    try:
        value = json.loads(text[start:end]) if start >= 0 else None
    except ValueError:
        return None
    names = {held.strip(_MARK): key for key, held in value.items()} if isinstance(value, dict) and _flat(value) else {}
    if not {"name", "arguments"} <= names.keys():
        return None
    before, behind = text[:start], text[end:]
    if facts.opens.endswith("[") and facts.closes.startswith("]") and facts.separator.strip() == ",":
        region = {"open": facts.opens[:-1], "close": facts.closes[1:], "content": "json"}
        return {**region, "transform": _call(names, ""), "transform_each": True}
    if facts.opens or facts.closes:
        return None
    # What stands between two calls, or before the first, would be content.
    between = [text for text in (facts.separator, grammar.facts.reply.before_calls) if text]
    gap = f"(?:{'|'.join(map(re.escape, dict.fromkeys(between)))})?" if between else ""
    if before and behind:
        opening = {"open_pattern": gap + re.escape(before)} if gap else {"open": before}
        return {**opening, "close": behind, "content": "json", "transform": _call(names, "content.")}
    if grammar.facts.reply.calls_alone:
        first = re.escape(pattern.start)
        opening = {"open_pattern": rf"\A(?={first})"}
        return {**opening, "close": _endings(grammar), "content": "json", "transform": _call(names, "content.")}
    return None


def _placeholder(hole: Hole) -> str:
    """A hole as it can stand in JSON: in quotes where a value is, bare where the quotes are the pattern's own."""
    return f'"{_MARK}{hole.name}{_MARK}"' if hole.kind in ("arguments", "json") else f"{_MARK}{hole.name}{_MARK}"


def _flat(value: dict[str, Any]) -> bool:
    """Whether every value of an object is a hole."""
    return all(isinstance(held, str) and held[:1] == held[-1:] == _MARK for held in value.values())


def _call(names: dict[str, str], scope: str) -> dict[str, Any]:
    """How a call is put together from the keys of an object."""
    call: dict[str, Any] = {"id": f"{{{scope}{names['id']}}}"} if "id" in names else {}
    function = {"name": f"{{{scope}{names['name']}}}", "arguments": f"{{{scope}{names['arguments']}}}"}
    return {**call, "type": "function", "function": function}


def _as_regions(grammar: Grammar, pattern: Pattern) -> dict[str, Any] | None:
    """Calls with a name in the header and arguments of JSON behind it."""
    assert grammar.calls is not None
    facts = grammar.calls.facts
    holes = [part for part in pattern.parts if isinstance(part, Hole)]
    if not holes or (holes[-1].name, holes[-1].kind) != ("arguments", "arguments"):
        return None
    if any(hole.kind != "text" for hole in holes[:-1]) or "name" not in {hole.name for hole in holes}:
        return None
    index = pattern.parts.index(holes[-1])
    behind = "".join(map(str, pattern.parts[index + 1 :]))
    if (facts.separator or facts.closes) and not behind:
        return None
    before = [text for text in (facts.opens, *facts.also_opens, facts.separator) if text]
    expression = f"(?:{'|'.join(map(re.escape, dict.fromkeys(before)))})?" if before else ""
    for part in pattern.parts[:index]:
        if isinstance(part, str):
            expression += re.escape(part)
        else:
            expression += f"(?P<{part.name}>.*?)" if part.name in _CAPTURED else "(?:.*?)"
    captured = {hole.name: f"{{{hole.name}}}" for hole in holes if hole.name in _CAPTURED}
    function = {"name": captured.pop("name"), "arguments": "{content}"}
    # What closes the last call would be content otherwise.
    closes = list(dict.fromkeys([behind + facts.closes, behind])) if behind else _endings(grammar)
    return {
        "open_pattern": expression,
        "close": closes,
        "content": "json",
        "transform": {"type": "function", **captured, "function": function},
    }
