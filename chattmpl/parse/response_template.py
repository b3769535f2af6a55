"""The ``response_template`` of a template, by which transformers' ``tokenizer.parse_response`` reads completions.

It is derived from the forms of the template's turns. The format has regions with an opening and a closing, each read by
one parser; whatever it cannot express is listed as left out, or refused.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.forms import Arguments, Calls, Form, JsonCall, Slot
from chattmpl.parse.turn_grammar import TurnGrammar, turn_grammar
from chattmpl.parse.values import common_end, common_start
from chattmpl.probing.corpus import ASK, call_message, result_message
from chattmpl.probing.facts import TemplateFacts, facts_of, placeholders_in, with_placeholders
from chattmpl.template.special_tokens import CONTROL
from chattmpl.template.template import Template

_VERBATIM = {"content": "text", "content_args": {"strip": False}}
_CAPTURED = ("name", "id", "type")


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
    """Derive the ``response_template`` of a template.

    Raises:
        UsageError: no grammar can be derived, or the format cannot express the template's turns.
    """
    filled = with_placeholders(template)
    grammar = turn_grammar(filled, {})
    if not any(form.fields for form in grammar.forms):
        raise _refusal(template, "it renders no part of an answer")
    regions = _Regions(template, grammar)
    fields: dict[str, Any] = {}
    if regions.reasoning is not None:
        opens, closes = regions.reasoning
        fields["reasoning_content"] = {"open_pattern": rf"\A{re.escape(opens)}", "close": closes, **_VERBATIM}
    fields["content"] = regions.content()
    left_out = list(grammar.underived)
    calls = regions.calls()
    if calls is not None:
        fields["tool_calls"] = calls if calls.get("transform_each") else {**calls, "repeats": True}
    elif regions.every:
        left_out.append("tool calls stay in the content: they are neither JSON nor a name with JSON arguments")
    anchors = list(dict.fromkeys(_anchors(facts_of(template), grammar)))
    if not anchors:
        raise _refusal(template, "no text opens its assistant turns")
    data = {
        "version": 1,
        "defaults": {"role": "assistant", "content": ""},
        "start_anchor": anchors[0] if len(anchors) == 1 else anchors,
        "fields": fields,
    }
    text = json.dumps(data, ensure_ascii=False)
    if unknown := next((token for token in placeholders_in(filled) if token in text), None):
        raise _refusal(template, f"the text of {unknown.strip('<|>')!r} is unknown")
    return ResponseTemplate(data, tuple(left_out))


def _refusal(template: Template, why: str) -> UsageError:
    return UsageError(
        f"{template.name} has no response_template: {why}", hint="parse its completions with Template.parse"
    )


def _anchors(facts: TemplateFacts, grammar: TurnGrammar) -> Iterator[str]:
    """Yield the text that opens a turn, after a question and after a tool result."""
    form = facts.prober.call_form[0]
    for messages in ([ASK], *([[ASK, call_message(**form), result_message()]] if form else [])):
        for tools in (True, False):
            prompt, history = (facts.prober.text(messages, prompt=prompt, tools=tools) for prompt in (True, False))
            if prompt is not None and history is not None:
                break
        else:
            continue
        header = prompt[len(history) :] if prompt.startswith(history) else ""
        header = header.removesuffix(grammar.supplied)
        token = next(reversed(list(CONTROL.finditer(prompt))), None)
        if not header and token is not None and not prompt[token.end() :].strip():
            header = prompt[token.start() :]
        if header:
            yield header


class _Regions:
    """The regions of a template's turns: their openings and closings."""

    def __init__(self, template: Template, grammar: TurnGrammar) -> None:
        self.template = template
        self.grammar = grammar
        tails = [text for form in grammar.forms for text in (form.ending, form.stop) if text]
        self.endings = list(dict.fromkeys([*tails, *grammar.stops]))
        self.reasoning = self._reasoning()
        self.every = [
            (self._before(form, index) + part.start, part)
            for form in grammar.forms
            for index, part in enumerate(form.parts)
            if isinstance(part, Calls)
        ]

    def _reasoning(self) -> tuple[str, str] | None:
        """Return the text around the trace, at the start of a turn."""
        opens: set[str] = set()
        closes: str | None = None
        for form in self.grammar.forms:
            if "reasoning" not in form.fields:
                continue
            index = form.parts.index(Slot("reasoning"))
            opens.add("".join(map(str, form.parts[:index])))
            following = form.parts[index + 1] if index + 1 < len(form.parts) else ""
            text = following.start if isinstance(following, Calls) else str(following)
            closes = text if closes is None else closes[: common_start(closes, text)]
        if not opens:
            return None
        if len(opens) > 1 or not closes:
            raise _refusal(self.template, "its reasoning traces have more than one format")
        return opens.pop(), closes

    def _before(self, form: Form, index: int) -> str:
        """Return the text between the region of the trace and a part, if no other field stands there."""
        text = form.parts[index - 1] if index and isinstance(form.parts[index - 1], str) else ""
        return self._after_trace(str(text), index < 2)

    def _after_trace(self, text: str, first: bool) -> str:
        if self.reasoning is None:
            return text
        opens, closes = self.reasoning
        return (
            text.removeprefix(opens + closes)
            if first and text.startswith(opens + closes)
            else text.removeprefix(closes)
        )

    def content(self) -> dict[str, Any]:
        """Return the region of the answer: the text inside its frame, or all text outside other regions."""
        opens: list[str] = []
        closes: list[str] = []
        for form in self.grammar.forms:
            if "content" not in form.fields:
                continue
            index = form.parts.index(Slot("content"))
            opens.append(self._before(form, index))
            following = form.parts[index + 1] if index + 1 < len(form.parts) else ""
            if isinstance(following, Calls):
                prefix = following.start[: len(following.start) - len(self._begin())]
                closes.append(prefix.rstrip() if CONTROL.search(prefix) else "")
            else:
                closes.append(following if isinstance(following, str) else "")
        trace = self.reasoning[0] if self.reasoning else None
        framed = list(dict.fromkeys(text for text in opens if text not in (trace, self.grammar.supplied)))
        if not all(text.strip() for text in framed):  # White space opens no region: it may be in the answer too.
            framed = []
        if not framed:
            closes = []
        found = list(dict.fromkeys([*filter(None, closes), *self.endings]))
        return {**({"open": framed} if framed else {}), "close": found, **_VERBATIM}

    # -- calls

    def _begin(self) -> str:
        """Return the text with which each call begins, whatever stands before it."""
        begin: str | None = None
        for _, calls in self.every:
            first = calls.call[0] if isinstance(calls.call[0], str) else ""
            begin = first if begin is None else begin[len(begin) - common_end(begin, first) :]
        return (begin or "").lstrip()

    def _gap(self, begin: str) -> str:
        """Return the pattern of the text that may stand before a call, which would be content otherwise."""
        found: list[str] = []
        for start, calls in self.every:
            first = calls.call[0] if isinstance(calls.call[0], str) else ""
            lead = self._after_trace(start[: len(start) - len(begin)], True)
            own = first[: len(first) - len(begin)]
            found += [lead, calls.separator + own] if calls.many else [lead]
        texts = sorted(set(filter(None, found)), key=lambda text: (-len(text), text))
        return f"(?:{'|'.join(map(re.escape, texts))})?" if texts else ""

    def calls(self) -> dict[str, Any] | None:
        """Return the region of the tool calls; None if the format cannot express them."""
        if not self.every:
            return None
        start, calls = self.every[-1]
        if any(isinstance(part, JsonCall) for part in calls.call):
            return self._json(self._after_trace(start, True), calls)
        return self._with_arguments(calls)

    def _json(self, start: str, calls: Calls) -> dict[str, Any] | None:
        """Return the region of calls that are JSON objects, one region each or one for a list of them."""
        before, shape, after = _around(calls.call)
        if shape is None:
            return None
        paths = dict(_paths(shape.shape))
        if not {"name", "arguments"} <= paths.keys():
            return None
        opens, closes = start.rstrip(), calls.closes.lstrip()
        if opens.endswith("[") and closes.startswith("]") and calls.separator.strip() == "," and not after.strip():
            region = {"open": opens[:-1], "close": closes[1:], "content": "json"}
            return {**region, "transform": _call(paths, ""), "transform_each": True} if closes[1:] else None
        begin = self._begin()
        if begin and (after or calls.closes):
            close = list(dict.fromkeys(filter(None, [after + calls.closes, after])))
            opening = {"open_pattern": gap + re.escape(begin)} if (gap := self._gap(begin)) else {"open": begin}
            ends = close[0] if len(close) == 1 else close
            return {**opening, "close": ends, "content": "json", "transform": _call(paths, "content.")}
        if not begin and not before and not calls.many and self.grammar.openers:
            opening = {"open_pattern": rf"\A(?={re.escape(self.grammar.openers[-1])})"}
            return {**opening, "close": self.endings, "content": "json", "transform": _call(paths, "content.")}
        return None

    def _with_arguments(self, calls: Calls) -> dict[str, Any] | None:
        """Return the region of calls with the name in a header followed by JSON arguments."""
        parts = list(calls.call)
        index = next((number for number, part in enumerate(parts) if isinstance(part, Arguments)), None)
        begin = self._begin()
        if index is None or parts[index] != Arguments("json") or Slot("name") not in parts[:index] or not begin:
            return None
        after = "".join(str(part) for part in parts[index + 1 :] if isinstance(part, str))
        if (calls.separator or calls.closes or calls.many) and not after and not calls.closes:
            return None
        expression = self._gap(begin) + re.escape(begin)
        names: list[str] = []
        for part in parts[1:index]:
            if isinstance(part, str):
                expression += re.escape(part)
            elif isinstance(part, Slot):
                named = part.field in _CAPTURED
                names += [part.field] if named else []
                expression += f"(?P<{part.field}>.*?)" if named else "(?:.*?)"
        captured = {name: f"{{{name}}}" for name in names}
        function = {"name": captured.pop("name"), "arguments": "{content}"}
        # Otherwise the text that closes the last call would be content.
        closes = list(dict.fromkeys(filter(None, [after + calls.closes, after]))) or self.endings
        return {
            "open_pattern": expression,
            "close": closes,
            "content": "json",
            "transform": {"type": "function", **captured, "function": function},
        }


def _around(parts: Iterable[Any]) -> tuple[str, JsonCall | None, str]:
    """Return the only JSON object of a call, and the text before and after it."""
    listed = list(parts)
    index = next(number for number, part in enumerate(listed) if isinstance(part, JsonCall))
    if not all(isinstance(part, str) for part in [*listed[:index], *listed[index + 1 :]]):
        return "", None, ""
    return "".join(listed[:index]), listed[index], "".join(listed[index + 1 :])


def _paths(shape: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a call with their paths in its JSON object."""
    for key, inner in shape.items():
        if isinstance(key, Slot):
            return
        if isinstance(inner, Slot):
            yield ("id" if inner.field == "index" else inner.field), f"{path}{key}"
        elif isinstance(inner, Mapping):
            yield from _paths(inner, f"{path}{key}.")


def _call(paths: Mapping[str, str], scope: str) -> dict[str, Any]:
    """Return the transform that builds a call from the keys of an object."""
    call: dict[str, Any] = {"id": f"{{{scope}{paths['id']}}}"} if "id" in paths else {}
    function = {"name": f"{{{scope}{paths['name']}}}", "arguments": f"{{{scope}{paths['arguments']}}}"}
    return {**call, "type": "function", "function": function}
