"""Inputs besides the messages that a text shows: tools, documents and template kwargs.

Their notation is derived from renderings of known ones; what a text seems to show is proven by rendering it again.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chattmpl.conversation.json_text import STRICT
from chattmpl.errors import ChatTmplError
from chattmpl.probing.corpus import ASK, CLOCK, SYSTEM
from chattmpl.probing.facts import facts_of
from chattmpl.template.template import Template

_ANCHOR = 24
"""Characters before a list or a kwarg by which it is found."""

_AFTER = 8
"""Characters after a kwarg that end it."""

_MAX_ITEMS = 1000
_WORDS = ("vqalpha", "vqbeta", "vqgamma")
_VALUE = "Vqkwarg sentinel"


def _tool(word: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {f"{word}key": {"type": "string"}}}
    return {"type": "function", "function": {"name": word, "description": f"{word} text", "parameters": schema}}


_LISTS: Mapping[str, list[dict[str, Any]]] = {
    "tools": [_tool(word) for word in _WORDS],
    "documents": [{"title": word, "text": f"{word} text"} for word in _WORDS],
}


@dataclass(frozen=True)
class ShownList:
    """The notation of tools or documents.

    Attributes:
        before: the text before the first item.
        python: items are written in Python notation, one a line, not as JSON.
        separator: a pattern of the text between two items.
        members: for items that the template puts together, the member of the function under each key; None where an
            item is written whole.
        function: a tool is written without the object around its function.
    """

    before: str
    python: bool
    separator: re.Pattern[str]
    members: Mapping[str, str] | None
    function: bool

    def read(self, text: str) -> Iterator[list[dict[str, Any]]]:
        """Yield the lists that a text shows."""
        position = text.find(self.before)
        while position >= 0:
            items = list(self._items(text, position + len(self.before)))
            if items:
                yield items
            position = text.find(self.before, position + 1)

    def _items(self, text: str, position: int) -> Iterator[dict[str, Any]]:
        for _ in range(_MAX_ITEMS):
            found = _value_at(text, position, self.python)
            item = None if found is None else self._item(found[0])
            if found is None or item is None:
                return
            yield item
            separator = self.separator.match(text, found[1])
            if separator is None:
                return
            position = separator.end()

    def _item(self, value: Any) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            return None
        if self.members is not None:
            value = {member: value[key] for key, member in self.members.items() if key in value}
        return {"type": "function", "function": value} if self.function else value


def _value_at(text: str, position: int, python: bool) -> tuple[Any, int] | None:
    try:
        if not python:
            return STRICT.raw_decode(text, position)
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown escape sequences
            return ast.literal_eval(text[position:end].strip()), end
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _chunk(text: str, word: str, others: Sequence[str]) -> tuple[int, int] | None:
    """Return the range of the largest object that holds a word and none of the others."""
    place = text.find(word)
    for start in (match.start() for match in re.finditer(r"\{", text[: max(place, 0)])):
        depth = 0
        for match in re.finditer(r"[{}]", text[start:]):
            depth += 1 if match[0] == "{" else -1
            if not depth:
                end = start + match.end()
                if end > place and not any(other in text[start:end] for other in others):
                    return start, end
                break
    return None


def _shown_list(template: Template, name: str, beside: Mapping[str, Any]) -> ShownList | None:
    items = _LISTS[name]
    for messages in ([ASK], [SYSTEM, ASK]):
        try:
            text = template.render({"messages": messages, **beside, name: items}, False, CLOCK).text
        except ChatTmplError:
            continue
        chunks = [_chunk(text, word, [other for other in _WORDS if other != word]) for word in _WORDS]
        if any(chunk is None for chunk in chunks):
            continue
        (start, end), (second, _), _ = (chunk for chunk in chunks if chunk is not None)
        python = False
        try:
            value = STRICT.decode(text[start:end])
        except ValueError:
            found = _value_at(text[start:end], 0, True)
            if found is None:
                continue
            value, python = found[0], True
        function = items[0].get("function", {})
        members = None
        if value not in (items[0], function):
            members = {key: member for key, each in value.items() for member in function if function[member] == each}
            if name != "tools" or set(members.values()) != set(function):
                continue
        separator = re.compile(re.sub(r"\d+", r"\\d+", re.escape(text[end:second])))
        return ShownList(text[max(0, start - _ANCHOR) : start], python, separator, members, value != items[0])
    return None


@lru_cache(maxsize=64)
def _shown_lists(template: Template) -> Mapping[str, tuple[ShownList, ...]]:
    """Return the notations of tools, also where there are documents, and of documents."""
    documents = {"documents": _LISTS["documents"][:1]}
    found = {
        "tools": [_shown_list(template, "tools", {}), _shown_list(template, "tools", documents)],
        "documents": [_shown_list(template, "documents", {})],
    }
    return {name: tuple(each for each in lists if each is not None) for name, lists in found.items()}


@lru_cache(maxsize=64)
def _shown_kwargs(template: Template) -> Mapping[str, re.Pattern[str]]:
    """Return patterns of the template kwargs whose text is rendered, by name."""
    found: dict[str, re.Pattern[str]] = {}
    for name, mode in facts_of(template).modes.items():
        if mode.kind != "text":
            continue
        try:
            text = template.render({"messages": [ASK], "chat_template_kwargs": {name: _VALUE}}, False, CLOCK).text
        except ChatTmplError:
            continue
        start = text.find(_VALUE)
        line = max(text.rfind("\n", 0, max(start - 1, 0)), start - _ANCHOR, 0)
        before = text[line:start] if text[line:start].strip() else text[max(0, start - _ANCHOR) : start]
        after = text[start + len(_VALUE) :][:_AFTER]
        after = after[: after.find("\n") + 1] or after  # What follows on the next line may depend on other kwargs.
        if start > 0 and after:
            found[name] = re.compile(f"{re.escape(before)}(.+?){re.escape(after)}")
    return found


def changes(template: Template, name: str, value: Any) -> frozenset[str]:
    """Return the sections of a rendering that change with a value of a template kwarg."""
    mode = facts_of(template).modes.get(name)
    found = None if mode is None else mode.changes.get(json.dumps(value, default=str))
    return frozenset(("start", "history", "generation prompt") if mode is None or not mode.values else found or ())


def shown_inputs(template: Template, given: Mapping[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """Yield the inputs that may accompany the messages of a text, as keys of a conversation; nothing else first.

    Args:
        template: the template.
        given: template kwargs, tools and documents that are known.
        text: the text.
    """
    lists = {
        name: [] if name in given else [items for each in shown for items in each.read(text)]
        for name, shown in _shown_lists(template).items()
    }
    modes = {
        name: [value for value in mode.values if changes(template, name, value)]
        for name, mode in facts_of(template).modes.items()
    }
    values = {
        name: match[1]
        for name, pattern in _shown_kwargs(template).items()
        if name not in given and (match := pattern.search(text)) is not None
    }
    bases = [values, *({name: value} for name, value in values.items()), {}] if values else [{}]
    settings = [{}, *bases]
    settings += [
        {**base, name: value} for base in bases for name, each in modes.items() if name not in given for value in each
    ]
    for tools, documents, setting in itertools.product([*lists["tools"], None], [*lists["documents"], None], settings):
        found: dict[str, Any] = {"tools": tools, "documents": documents, "chat_template_kwargs": setting}
        yield {name: value for name, value in found.items() if value}
