"""Forms of an assistant turn: the template's own text, with slots for the parts of a message.

A grammar holds one form for each kind of message, as the template renders it. Of Qwen3, with reasoning and calls:

    <think>⏎{reasoning}⏎</think>⏎⏎{content}{⏎<tool_call>⏎{"name": …, "arguments": …}⏎</tool_call>}…<|im_end|>⏎
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chattmpl.conversation.json_text import STRICT
from chattmpl.parse.values import Members, Notation, Scan, read_json, read_whole

Fields = dict[str, Any]
"""The values of slots, by the names of their fields; ``calls`` is a list with the fields of each call."""

NAME = re.compile(r"[^\s{}()\[\]<>\"',|]+")
"""A name or an id that no text of the template follows."""

NAME_IN_ID = re.compile(r"functions\.(.+):\d+\Z")
"""A call id that holds the name of the function, as Kimi K2 writes them: ``functions.get_weather:0``."""

_JSON_KEY = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_JSON_AFTER = re.compile(r"\s*([,}])")

MAX_NAME = 256
"""Characters of the longest name or id."""

_MAX_CALLS = 1000
"""Number of calls that are read in one turn."""

OPTIONAL = frozenset({"id", "type", "index"})
"""Fields that a model may leave out of a call in JSON."""


# -- one call


@dataclass(frozen=True)
class Slot:
    """The place of a field: ``reasoning`` or ``content``; in a call ``name``, ``id``, ``type`` or ``index``."""

    field: str

    def fits(self, text: str) -> bool:
        """Return whether a text in a call may be the name, or another field."""
        plain = NAME.fullmatch(text) if self.field == "name" else "\n" not in text
        return 0 < len(text) <= MAX_NAME and bool(plain)


@dataclass(frozen=True)
class Arguments:
    """The place of the arguments of a call, written at once or member by member."""

    notation: Notation | Members


@dataclass(frozen=True)
class JsonCall:
    """The place of a call that is a JSON object: ``{"name": Slot("name"), "arguments": Slot("arguments")}``.

    A slot may also be the only key of an object.
    """

    shape: Mapping[Any, Any]

    def fields(self, value: Any, shape: Any = None) -> Fields | None:
        """Return the fields of a call; None if the value is not such a call. Constants and ids may be missing."""
        shape = self.shape if shape is None else shape
        if isinstance(shape, Slot):
            return {shape.field: value}
        if not isinstance(shape, Mapping):
            return {} if value == shape else None
        if not isinstance(value, dict):
            return None
        keys = list(shape)
        if len(keys) == 1 and isinstance(keys[0], Slot):
            if len(value) != 1:
                return None
            key, inner = next(iter(value.items()))
            return _merged({keys[0].field: key}, self.fields(inner, shape[keys[0]]))
        if value.keys() - shape.keys():
            return None
        result: Fields | None = {}
        for key, inner in shape.items():
            if key in value:
                result = _merged(result, self.fields(value[key], inner))
            elif isinstance(inner, Mapping) or (isinstance(inner, Slot) and inner.field not in OPTIONAL):
                return None
        return result


def _arguments_text(text: str, position: int, shape: Mapping[Any, Any]) -> str | None:
    """Return the arguments of a call that is a valid JSON object, as they are written; None if it has none."""
    place, after = text.index("{", position) + 1, ","
    while after == "," and (key := _JSON_KEY.match(text, place)) is not None:
        _, place = STRICT.raw_decode(text, key.end())
        inner = shape.get(json.loads(key[1])) or next(
            (each for name, each in shape.items() if isinstance(name, Slot)), None
        )
        if inner == Slot("arguments"):
            return text[key.end() : place]
        if isinstance(inner, Mapping) and (found := _arguments_text(text, key.end(), inner)) is not None:
            return found
        separator = _JSON_AFTER.match(text, place)
        after, place = (separator[1], separator.end()) if separator else ("", place)
    return None


def _merged(first: Fields | None, second: Fields | None) -> Fields | None:
    """Return the fields of both; None if one is None, or a field that both have differs."""
    if first is None or second is None or any(second.get(name, value) != value for name, value in first.items()):
        return None
    return {**first, **second}


@dataclass(frozen=True)
class Argument:
    """The place of the only argument of a tool whose name is not written, such as the code of ``python``."""

    name: str
    key: str


CallPart = str | Slot | Arguments | Argument | JsonCall


@dataclass(frozen=True)
class Calls:
    """The place of tool calls.

    Attributes:
        opens, closes: the text around all calls.
        call: the parts of one call.
        separator: the text between two calls.
        many: False if the template writes one call a turn.
    """

    opens: str
    call: tuple[CallPart, ...]
    separator: str
    closes: str
    many: bool

    @property
    def start(self) -> str:
        """The text with which calls begin."""
        return self.opens + (self.call[0] if isinstance(self.call[0], str) else "")

    def read(self, scan: Scan, position: int) -> Iterator[tuple[list[Fields], int]]:
        """Read the calls at a position; yield their fields, and the end of the closing text."""
        place = scan.skip(self.opens, position)
        found: list[Fields] = []
        while place is not None and len(found) < (_MAX_CALLS if self.many else 1):
            read = next(self.read_call(scan, 0, place, {}), None)
            if read is None:
                break
            fields, end = read
            found.append(fields)
            position, place = end, scan.skip(self.separator, end)
        stop = scan.skip(self.closes, position) if found else None
        if stop is not None:
            yield found, stop

    def read_call(self, scan: Scan, index: int, position: int, fields: Fields) -> Iterator[tuple[Fields, int]]:
        """Read one call from the part with an index on; yield its fields, and its end."""
        if index == len(self.call):
            yield fields, position
            return
        part = self.call[index]
        following = beginning(self.call[index + 1]) if index + 1 < len(self.call) else ""
        for found, stop in _read_part(scan, part, position, following, fields):
            merged = _merged(fields, found)
            if merged is not None:
                yield from self.read_call(scan, index + 1, stop, merged)


def beginning(part: CallPart) -> str:
    """Return the text with which a part of a call begins; empty if it is not known."""
    if isinstance(part, Arguments) and isinstance(part.notation, Members):
        # White space may be written otherwise, or not at all.
        return part.notation.opens if part.notation.opens.strip() else ""
    return part if isinstance(part, str) else ""


def _read_part(
    scan: Scan, part: CallPart, position: int, following: str, fields: Fields
) -> Iterator[tuple[Fields, int]]:
    if isinstance(part, str):
        stop = scan.skip(part, position)
        if stop is not None:
            yield {}, stop
    elif isinstance(part, Slot):
        position = scan.after_space(position) if scan.loose else position
        match = None if following else NAME.match(scan.text, position, scan.end)
        places = scan.find(following, position) if following else iter([(match.end(), 0)] if match else [])
        end = next((start for start, _ in places), position)
        name = scan.text[position:end].strip() if scan.loose else scan.text[position:end]
        if part.fits(name):
            yield {part.field: name}, end
    elif isinstance(part, Argument):
        for end, _ in scan.find(following, position) if following else [(scan.end, scan.end)]:
            yield {"name": part.name, "arguments": {part.key: scan.text[position:end]}}, end
    elif isinstance(part, JsonCall):
        found = read_json(scan, position)
        call = None if found is None else part.fields(found[0])
        if found is not None and call is not None:
            if isinstance(call.get("arguments"), dict):
                call["written"] = _arguments_text(scan.text, position, part.shape)
            yield call, found[1]
    elif isinstance(part.notation, Members):
        for value, stop in part.notation.read(scan, position, following, scan.schemas.get(fields.get("name", ""))):
            yield {"arguments": value}, stop
    else:
        for value, stop in read_whole(scan, position, part.notation, following):
            written = {"written": scan.text[position:stop].strip()} if part.notation == "json" else {}
            yield {"arguments": value, **written}, stop


# -- one turn


@dataclass(frozen=True)
class Form:
    """The form of one kind of turn.

    Attributes:
        parts: the template's text, slots and calls, from the header of the turn on.
        ending: the text that ends the turn, from its stop token on; empty if it has none.
        stop: the stop token at the start of ``ending``.
    """

    parts: tuple[str | Slot | Calls, ...]
    ending: str
    stop: str

    @property
    def texts(self) -> Iterator[str]:
        """The template's own texts, without the ending."""
        for part in self.parts:
            if isinstance(part, Calls):
                yield from (part.opens, part.closes, part.separator, *(x for x in part.call if isinstance(x, str)))
            elif isinstance(part, str):
                yield part

    @property
    def fields(self) -> frozenset[str]:
        """The fields that this kind of turn has: ``reasoning``, ``content``, ``calls``."""
        return frozenset(
            "calls" if isinstance(part, Calls) else part.field for part in self.parts if not isinstance(part, str)
        )

    def read(self, scan: Scan, start: int) -> Iterator[Fields]:
        """Yield the fields of each way to read the text from ``start`` to its end."""
        ends = [scan.end - len(self.ending), scan.end - len(self.stop), scan.end]
        for end, tail in zip(ends, (self.ending, self.stop, ""), strict=True):
            if end >= start and scan.text.endswith(tail, 0, scan.end):
                yield from self._read(replace(scan, end=end), 0, start, {})
                if tail:
                    return

    def _read(self, scan: Scan, index: int, position: int, fields: Fields) -> Iterator[Fields]:
        if index == len(self.parts):
            if position == scan.end or (scan.loose and not scan.text[position : scan.end].strip()):
                yield fields
            return
        part = self.parts[index]
        if isinstance(part, str):
            stop = scan.skip(part, position)
            if stop is not None:
                yield from self._read(scan, index + 1, stop, fields)
        elif isinstance(part, Calls):
            for calls, stop in part.read(scan, position):
                yield from self._read(scan, index + 1, stop, {**fields, "calls": calls})
        elif position >= scan.supplied:
            following = self.parts[index + 1] if index + 1 < len(self.parts) else None
            if following is None:
                places = iter([(scan.end, scan.end)])
            else:
                places = scan.find(following.start if isinstance(following, Calls) else str(following), position)
            for end, _ in places:
                yield from self._read(scan, index + 1, end, {**fields, part.field: scan.text[position:end]})
