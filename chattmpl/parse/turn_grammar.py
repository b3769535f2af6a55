"""The grammar of assistant turns, and the messages that a completion may be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.forms import NAME_IN_ID, Calls, Fields, Form
from chattmpl.parse.harmony import ENDS, read_harmony, writes_harmony
from chattmpl.parse.special_tools import special_forms
from chattmpl.parse.turn_derivation import DerivedForms, derive
from chattmpl.parse.value_derivation import Underivable
from chattmpl.parse.values import TYPES, JsonType, Scan
from chattmpl.probing.corpus import ASK, RESULTS
from chattmpl.probing.facts import facts_of
from chattmpl.template.special_tokens import CONTROL, NAMES, PIPED_CONTROL, PLACEHOLDER, PLACEHOLDERS, TAG
from chattmpl.template.template import Template

MessageData = dict[str, Any]
"""A message as plain data."""

CONTROL_TOKENS = re.compile(
    rf"{PIPED_CONTROL.pattern}|\[\|[^|\[\]\s]{{1,60}}\|\]|<(?:bos|eos|start_of_turn|end_of_turn)>"
)
"""Control tokens of any model, which no answer contains as text."""

_HALF = re.compile(r"(?:<[|｜/]|<\w\w|\[[A-Z/]{2})[^<>\[\]\n]{0,60}\Z")
"""Text at the end that may be the beginning of a control token or a tag."""

_PYTHON_TAG = re.compile(r"\A<\|python_tag\|>(?=\s*\{)")
"""The token with which Llama 3.1 opens calls of functions, too, and not only code."""

_LEADING_TAG = re.compile(r"<[^<>\s]{2,}>?|\[[A-Z_]{3,}\]")
"""A tag with which an opening text begins."""

_CODE = re.compile(r"(?s)```.*?(?:```|\Z)|`[^`\n]*`")
"""Markdown code, in which markup may be quoted."""


_TYPES: Mapping[str, JsonType] = {name: name for name in TYPES}


@dataclass(frozen=True)
class TurnGrammar(DerivedForms):
    """The grammar of a template's assistant turns.

    Attributes:
        special: other control tokens of the template and its tokenizer.
    """

    special: tuple[str, ...] = ()

    @property
    def prompt_end(self) -> str:
        """The text of a prompt after the last message."""
        return self.header.removeprefix(ASK["content"]).removeprefix(RESULTS[0])

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The tokens at which sampling ends, the longest first."""
        ends = {*self.stops, *self.followers, *(ENDS if writes_harmony(self.texts) else ())}
        if PLACEHOLDERS["eos_token"] in ends:
            ends.add("</s>")  # The most frequent one, where the template does not come with its own.
        return tuple(sorted(ends, key=lambda token: (-len(token), token)))

    def end_of(self, text: str) -> int:
        """Return the end of a completion without white space and the token that ended it."""
        text = text.rstrip()
        token = next((token for token in self.ends if text.endswith(token)), "")
        return len(text.removesuffix(token).rstrip())

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The control tokens and tags that the template writes in a turn, the longest first."""
        tokens = {token for text in self.texts for pattern in (CONTROL, TAG) for token in pattern.findall(text)}
        tokens |= {match[0] for opener in self.openers if (match := _LEADING_TAG.match(opener))}
        tokens |= {f"</{token[1:]}" for token in tokens if token[0] == "<" and token[1:2] not in "/|｜"}
        tokens |= {*self.special, *self.ends}
        return tuple(sorted(tokens, key=lambda token: (-len(token), token)))

    @cached_property
    def markup(self) -> re.Pattern[str]:
        """A pattern of the control tokens and tags that the template writes in a turn, and of common control tokens."""
        return re.compile("|".join([*map(re.escape, self.tokens), CONTROL_TOKENS.pattern]))

    @cached_property
    def unsampled(self) -> frozenset[str]:
        """The texts that a completion may lack at its end: the stop token, and what follows it."""
        endings = [(form.ending, form.stop) for form in self.forms]
        return frozenset({"", *(text for ending, stop in endings for text in (ending, stop, ending[len(stop) :]))})

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts that the template writes in turns and at the end of a prompt."""
        forms = (*self.forms, *self.composed)
        return (self.header, *(text for form in forms for text in (*form.texts, form.ending)))

    def read(self, text: str, start: int, schemas: Mapping[str, Mapping[str, JsonType]]) -> Iterator[MessageData]:
        """Yield the messages that the completion from ``start`` on may be, the most exact reading first."""
        whole = self.supplied + text[start:]
        exact = Scan(whole, len(whole), False, schemas, len(self.supplied))
        loose = replace(exact, end=self.end_of(whole), loose=True)
        seen: list[MessageData] = []

        def readings() -> Iterator[tuple[Form, Scan]]:
            yield from ((form, scan) for form in self.forms for scan in (exact, loose))
            yield from ((form, loose) for form in self.composed)
            if not seen and _PYTHON_TAG.match(whole):
                respelt = _PYTHON_TAG.sub("", whole)
                yield from ((form, replace(loose, text=respelt, end=self.end_of(respelt))) for form in self.forms)

        def fields_read() -> Iterator[Fields]:
            yield from (fields for form, scan in readings() for fields in form.read(scan, 0))
            if not seen and writes_harmony(self.texts) and (fields := read_harmony(text[start:])) is not None:
                yield fields

        for fields in fields_read():
            if self.markup_in(fields.get("reasoning", ""), fields.get("content", "")) is not None:
                continue
            for message in messages_of(fields):
                if message not in seen:
                    seen.append(message)
                    yield message

    @property
    def untagged_calls(self) -> bool:
        """True if calls begin with text that no tag or control token marks, as JSON does."""
        return any(not CONTROL.search(opener) for opener in self.openers)

    def half_token(self, text: str) -> int | None:
        """Return the offset of the beginning of a control token or tag at the end of a text; None if there is none."""
        match = _HALF.search(text)
        if match is None or text.count("`") % 2:
            return None
        known = any(token.startswith(match[0]) for token in (*self.tokens, *self.openers))
        return match.start() if known or match[0][1] in "|｜" else None

    def markup_in(self, *texts: str) -> str | None:
        """Return the first control token or opening of a call in texts of a message, outside of Markdown code."""
        for text in (_CODE.sub("", text) for text in texts):
            if (found := self.markup.search(text)) is not None:
                return found[0]
            for opener in self.openers:
                # Without a tag or a control token, only text at the beginning of an answer opens a call.
                if opener in text if CONTROL.search(opener) else _opens_call(text, opener):
                    return opener
        return None


def _opens_call(text: str, opener: str) -> bool:
    """Return whether a text begins like a call, and is no JSON document of another kind."""
    if not "".join(text.split()).startswith("".join(opener.split())):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


def outside_code(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern in a part of a text, without those in Markdown code."""
    code = [match.span() for match in _CODE.finditer(text, start, end)]
    for match in pattern.finditer(text, start, end):
        if not any(first <= match.start() < last for first, last in code):
            yield match


def messages_of(fields: Fields) -> Iterator[MessageData]:
    """Yield the messages with these fields: arguments as objects first, then as the text that was read."""
    message: MessageData = {"role": "assistant", "content": fields.get("content", "")}
    if fields.get("reasoning"):
        message = {"role": "assistant", "reasoning_content": fields["reasoning"], **message}
    calls = fields.get("calls")
    if calls is None:
        yield message
        if "reasoning" in fields and not fields["reasoning"]:
            yield {**message, "reasoning_content": ""}
        return
    for as_text in (False, True):
        made = [_call(call, as_text) for call in calls]
        if all(each is not None for each in made):
            yield {**message, "tool_calls": made}
        if not any("written" in call for call in calls):
            break


def _call(fields: Fields, as_text: bool) -> dict[str, Any] | None:
    identifier, name = fields.get("id", fields.get("index")), fields.get("name")
    if name is None and isinstance(identifier, str) and (match := NAME_IN_ID.match(identifier)):
        name = match[1]
    arguments = fields.get("written") if as_text else fields.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict | str):
        return None
    call: dict[str, Any] = {"id": identifier} if isinstance(identifier, str) else {}
    return {**call, "type": fields.get("type", "function"), "function": {"name": name, "arguments": arguments}}


def function_of(tool: Any) -> tuple[str, Mapping[str, Any]] | None:
    """Return the name of the function that a tool defines, and the schema of its parameters; None if it has no name."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    parameters = function.get("parameters")
    return function["name"], parameters if isinstance(parameters, dict) else {}


def schemas_of(tools: Iterable[Any] | None) -> dict[str, dict[str, JsonType]]:
    """Return the types of parameters, by function and parameter, that tool definitions declare."""
    schemas: dict[str, dict[str, JsonType]] = {}
    for name, parameters in filter(None, map(function_of, tools or ())):
        properties = parameters.get("properties")
        if isinstance(properties, dict):
            schemas[name] = {
                key: _TYPES[about["type"]]
                for key, about in properties.items()
                if isinstance(about, dict) and isinstance(about.get("type"), str) and about["type"] in _TYPES
            }
    return schemas


@lru_cache(maxsize=64)
def _derived(template: Template, kwargs: str, after_result: bool, tools: bool) -> TurnGrammar | str:
    facts = facts_of(template).under(json.loads(kwargs))
    try:
        found = derive(facts, after_result, tools)
        named = tuple(special_forms(facts, after_result, tools, found.forms))
        opened = (part.start.strip() for form in named for part in form.parts if isinstance(part, Calls))
        openers = tuple(dict.fromkeys([*found.openers, *filter(None, opened)]))
        found = replace(found, forms=(*named, *found.forms), openers=openers)
    except Underivable as error:
        return str(error)
    family = template.family
    declared = family.generation.stop_tokens if family is not None else ()
    stops = [*declared, *found.stops, *filter(None, [template.tokens.get("eos_token")])]
    special = [token for token in facts.control_tokens if token.startswith("[")]
    special += [token for name in NAMES if (token := template.tokens.get(name)) and token != PLACEHOLDER.format(name)]
    if (directory := template.resolved.directory) is not None:
        stops += sorted(directory.stop_tokens)
        special += sorted(directory.control_tokens)
    return TurnGrammar(**{**vars(found), "stops": tuple(dict.fromkeys(stops))}, special=tuple(dict.fromkeys(special)))


def turn_grammar(
    template: Template, kwargs: Mapping[str, Any], after_result: bool = False, tools: bool = True
) -> TurnGrammar:
    """Return the grammar of a template's assistant turns under template kwargs, derived once.

    Raises:
        UsageError: the template renders no assistant turns, or none that a form describes.
    """
    found = _derived(
        template,
        json.dumps(
            {name: value for name, value in kwargs.items() if name not in ("tools", "documents")},
            sort_keys=True,
            default=str,
        ),
        after_result,
        tools,
    )
    if isinstance(found, str):
        raise no_grammar(template, found)
    return found


def no_grammar(template: Template, why: str) -> UsageError:
    """Return the error about a template whose texts cannot be parsed."""
    return UsageError(f"no grammar can be derived for {template.name}: {why}")
