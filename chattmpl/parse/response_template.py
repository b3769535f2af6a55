"""The ``response_template`` of a family, by which transformers' ``tokenizer.parse_response`` reads completions.

It is derived from the ``[parse]`` table of the family. The format has regions with an opening and a closing, each read
by one parser; whatever it cannot express is listed as left out, or refused.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.grammar import Grammar, Pattern, Placeholder, grammar_of
from chattmpl.template.template import Template

_VERBATIM = {"content": "text", "content_args": {"strip": False}}
_CAPTURED = ("name", "id", "type")
_MARK = "\ue000"
"""Marks a placeholder while a pattern is parsed as JSON."""


@dataclass(frozen=True)
class ResponseTemplate:
    """A ``response_template`` and its limitations.

    Attributes:
        data: the template, as in ``tokenizer_config.json``.
        left_out: what the format cannot express, one sentence each.
    """

    data: dict[str, Any]
    left_out: tuple[str, ...] = field(default=())


def response_template(template: Template) -> ResponseTemplate:
    """Derive the ``response_template`` of a family.

    Raises:
        UsageError: the template is not a family with a ``[parse]`` table, or the format cannot express its replies.
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
        raise _refusal(template, "the header of its assistant turns varies")
    data = {
        "version": 1,
        "defaults": {"role": "assistant", "content": ""},
        "start_anchor": anchors[0] if len(anchors) == 1 else anchors,
        "fields": fields,
    }
    return ResponseTemplate(data, tuple(left_out))


def _refusal(template: Template, why: str) -> UsageError:
    return UsageError(
        f"{template.name} has no response_template: {why}", hint="parse its completions with Template.parse"
    )


def _reasoning(template: Template, grammar: Grammar) -> dict[str, Any]:
    """Return the region of the trace, at the start of a reply."""
    if len(grammar.reasoning) > 1:
        raise _refusal(template, "its reasoning traces have more than one format")
    opens, closes = _around(grammar.reasoning[0])
    return {"open_pattern": rf"\A{re.escape(opens)}", "close": closes, **_VERBATIM}


def _content(grammar: Grammar) -> dict[str, Any]:
    """Return the region of the answer: the text inside its frame, or all text outside other regions."""
    endings = list(grammar.endings)
    if not grammar.content:
        return {"close": endings, **_VERBATIM}
    around = [_around(pattern) for pattern in grammar.content]
    closes = list(dict.fromkeys([close for _, close in around if close] + endings))
    return {"open": [opens for opens, _ in around], "close": closes, **_VERBATIM}


def _around(pattern: Pattern) -> tuple[str, str]:
    """Return the text before and after the only placeholder of a pattern."""
    parts = list(pattern.parts)
    index = next(number for number, part in enumerate(parts) if isinstance(part, Placeholder))
    return "".join(map(str, parts[:index])), "".join(map(str, parts[index + 1 :]))


def _calls(template: Template, grammar: Grammar, left_out: list[str]) -> dict[str, Any] | None:
    """Return the region of the tool calls, in the first notation that the format can express."""
    if grammar.calls is None:
        return None
    made: dict[str, Any] | None = None
    for pattern in grammar.calls.each:
        found = None if made else (_as_json(grammar, pattern) or _as_regions(grammar, pattern))
        if found is None:
            left_out.append(f"calls written as {str(pattern)!r} stay in the content")
        made = made or found
    if made is None:
        raise _refusal(template, f"its calls are neither JSON nor a name with JSON arguments: {left_out[0]}")
    return {**made, "repeats": True} if not made.get("transform_each") else made


def _as_json(grammar: Grammar, pattern: Pattern) -> dict[str, Any] | None:
    """Return the region of calls that are JSON objects, one region each or one for a list of them."""
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
    before, after = text[:start], text[end:]
    if facts.opens.endswith("[") and facts.closes.startswith("]") and facts.separator.strip() == ",":
        region = {"open": facts.opens[:-1], "close": facts.closes[1:], "content": "json"}
        return {**region, "transform": _call(names, ""), "transform_each": True}
    if facts.opens or facts.closes:
        return None
    # Otherwise the text between two calls, or before the first, would be content.
    between = [text for text in (facts.separator, grammar.facts.reply.before_calls) if text]
    gap = f"(?:{'|'.join(map(re.escape, dict.fromkeys(between)))})?" if between else ""
    if before and after:
        opening = {"open_pattern": gap + re.escape(before)} if gap else {"open": before}
        return {**opening, "close": after, "content": "json", "transform": _call(names, "content.")}
    if grammar.facts.reply.calls_alone:
        first = re.escape(pattern.start)
        opening = {"open_pattern": rf"\A(?={first})"}
        return {**opening, "close": list(grammar.endings), "content": "json", "transform": _call(names, "content.")}
    return None


def _placeholder(placeholder: Placeholder) -> str:
    """Return a placeholder as JSON: quoted in the place of a value, bare inside the pattern's own quotes."""
    marked = f"{_MARK}{placeholder.name}{_MARK}"
    return f'"{marked}"' if placeholder.kind in ("arguments", "json") else marked


def _flat(value: dict[str, Any]) -> bool:
    """Return whether every value of an object is a placeholder."""
    return all(isinstance(held, str) and held[:1] == held[-1:] == _MARK for held in value.values())


def _call(names: dict[str, str], scope: str) -> dict[str, Any]:
    """Return the transform that builds a call from the keys of an object."""
    call: dict[str, Any] = {"id": f"{{{scope}{names['id']}}}"} if "id" in names else {}
    function = {"name": f"{{{scope}{names['name']}}}", "arguments": f"{{{scope}{names['arguments']}}}"}
    return {**call, "type": "function", "function": function}


def _as_regions(grammar: Grammar, pattern: Pattern) -> dict[str, Any] | None:
    """Return the region of calls with the name in a header followed by JSON arguments."""
    assert grammar.calls is not None
    facts = grammar.calls.facts
    placeholders = [part for part in pattern.parts if isinstance(part, Placeholder)]
    if not placeholders or (placeholders[-1].name, placeholders[-1].kind) != ("arguments", "arguments"):
        return None
    names = [placeholder.name for placeholder in placeholders]
    if any(placeholder.kind != "text" for placeholder in placeholders[:-1]) or "name" not in names:
        return None
    index = pattern.parts.index(placeholders[-1])
    after = "".join(map(str, pattern.parts[index + 1 :]))
    if (facts.separator or facts.closes) and not after:
        return None
    before = [text for text in (facts.opens, *facts.also_opens, facts.separator) if text]
    expression = f"(?:{'|'.join(map(re.escape, dict.fromkeys(before)))})?" if before else ""
    for part in pattern.parts[:index]:
        if isinstance(part, str):
            expression += re.escape(part)
        else:
            expression += f"(?P<{part.name}>.*?)" if part.name in _CAPTURED else "(?:.*?)"
    captured = {name: f"{{{name}}}" for name in names if name in _CAPTURED}
    function = {"name": captured.pop("name"), "arguments": "{content}"}
    # Otherwise the text that closes the last call would be content.
    closes = list(dict.fromkeys([after + facts.closes, after])) if after else list(grammar.endings)
    return {
        "open_pattern": expression,
        "close": closes,
        "content": "json",
        "transform": {"type": "function", **captured, "function": function},
    }
