"""Calls of tools that a template writes in another way than other calls, such as code for Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from chattmpl.parse.forms import Argument, Arguments, Calls, Form
from chattmpl.parse.turn_derivation import Derivation, WrittenArguments
from chattmpl.parse.value_derivation import KEYS, WORDS, Underivable
from chattmpl.parse.values import Members
from chattmpl.probing.corpus import Message
from chattmpl.probing.facts import TemplateFacts

_NAME = re.compile(r"""\bname\s*==\s*['"](\w+)['"]""")
"""A comparison with the name of a tool."""

_KEY = re.compile(r"\barguments\.(\w+)")
"""An argument that the template reads by its name."""


def special_forms(facts: TemplateFacts, after_result: bool, tools: bool, known: Sequence[Form]) -> Iterator[Form]:
    """Yield the forms of calls of tools that the template or a list in its kwargs names, where they are not known."""
    source = facts.template.source
    listed = [item for value in facts.prober.kwargs.values() if isinstance(value, list) for item in value]
    names = dict.fromkeys([*(item for item in listed if isinstance(item, str)), *_NAME.findall(source)])
    for name in names:
        for key in (KEYS[0][0], *dict.fromkeys(_KEY.findall(source))):
            try:
                forms = _Special(facts, after_result, tools, name, key).result().forms
            except Underivable:
                continue
            for form in forms:
                if "calls" in form.fields and form not in known:
                    yield _with_argument(form, name, key) if key != KEYS[0][0] else form


class _Special(Derivation):
    def __init__(self, facts: TemplateFacts, after_result: bool, tools: bool, name: str, key: str) -> None:
        self.name, self.key = name, key
        super().__init__(facts, after_result, tools)

    def _message(self, traced: bool, content: str | None, calls: Sequence[dict[str, Any]]) -> Message:
        if self.key != KEYS[0][0]:
            calls = [{self.key: next(iter(given.values()))} for given in calls]
        message = super()._message(traced, content, calls)
        for call in message.get("tool_calls", ()):
            call["function"]["name"] = self.name
        return message

    def _arguments(self, start: int) -> WrittenArguments | None:
        if self.key == KEYS[0][0]:
            found = super()._arguments(start)
            if found is None or not isinstance(members := found.arguments.notation, Members):
                return found
            # A value between quotes is text, whatever else it may be.
            types = {name: ways for name, ways in members.types.items() if not ways[0].before.endswith('"')}
            types["string"] = members.types["string"]
            return found._replace(arguments=Arguments(replace(members, types=types)))
        made = self.turn(self._message(False, self.filler, [{self.key: WORDS[0]}]))
        pieces = self.pieces(made, start) if made is not None else []
        written = [piece.text for piece in pieces if piece.field == "arguments"]
        return WrittenArguments(Arguments("json")) if written == [WORDS[0]] else None


def _with_argument(form: Form, name: str, key: str) -> Form:
    """Return a form with the text of one argument in place of all arguments."""
    parts = tuple(
        replace(part, call=tuple(Argument(name, key) if isinstance(each, Arguments) else each for each in part.call))
        if isinstance(part, Calls)
        else part
        for part in form.parts
    )
    return replace(form, parts=parts)
