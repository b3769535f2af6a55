"""Notations of arguments: how a template writes the values of a tool call, by their JSON type.

Arguments are either one value, such as ``{"city": "Oslo"}``, or members that the template writes one by one:

    <parameter=city>⏎Oslo⏎</parameter>          city="Oslo", n=3          <arg_key>city</arg_key><arg_value>Oslo</…>

A reader yields each value that may begin at a position, with its end, the most likely one first.
"""

from __future__ import annotations

import ast
import heapq
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

from chattmpl.conversation.json_text import STRICT
from chattmpl.input_files import is_too_deep
from chattmpl.template.special_tokens import CONTROL, TAG

JsonType = Literal["null", "boolean", "integer", "number", "array", "object", "string"]

TYPES: tuple[JsonType, ...] = ("null", "boolean", "integer", "number", "array", "object", "string")
"""The JSON types, in the order in which bare text is read as one: text that may be anything is a string last."""

Notation = Literal["json", "python", "encoded", "text", "nothing", "members"]
"""Ways to write one value.

``encoded`` is JSON inside a JSON string, ``text`` the characters themselves, ``nothing`` no characters, and
``members`` a container whose members are written one by one.
"""

KEY = "\ue001"
"""Stands for the key in a text after its value, such as ``</city>``."""

_SPELLED: Mapping[str, bool | None] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
}
"""Spellings of values that are no strings where a schema expects none."""

_MAX_KEY = 200
"""Characters of the longest name of an argument."""

_MAX_QUOTED = 20
"""Number of places where a value in Python notation may end that are tried."""

_MAX_STOPS = 1000
"""Number of places where a text value may end that are tried."""


MARKUP = re.compile(f"{CONTROL.pattern}|{TAG.pattern}|◁/?think▷")
"""Control tokens and tags."""


@lru_cache(maxsize=1024)
def words_of(literal: str) -> tuple[str, ...]:
    """Return the control tokens, tags and words of a literal, between which a model may write other white space."""
    words: list[str] = []
    for word in literal.split():
        place = 0
        for match in MARKUP.finditer(word):
            words += [word[place : match.start()], match[0]]
            place = match.end()
        words.append(word[place:])
    return tuple(filter(None, words))


@dataclass(frozen=True)
class Scan:
    """A text that is read, up to ``end``; ``loose`` ignores white space around markup that is not there exactly."""

    text: str
    end: int
    loose: bool = False
    schemas: Mapping[str, Mapping[str, JsonType]] = field(default_factory=dict)
    """The types of parameters, by function and parameter."""
    supplied: int = 0
    """Length of the beginning that the prompt supplies, where no field of the message begins."""

    def skip(self, literal: str, position: int) -> int | None:
        """Return the end of a literal at a position; None if the text differs."""
        stop = position + len(literal)
        if stop <= self.end and self.text.startswith(literal, position):
            return stop
        return self._skip_words(literal, position) if self.loose else None

    def _skip_words(self, literal: str, position: int) -> int | None:
        for word in words_of(literal):
            position = self.after_space(position)
            if not self.text.startswith(word, position) or position + len(word) > self.end:
                return None
            position += len(word)
        return self.after_space(position)

    def find(self, literal: str, position: int) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each occurrence of a literal from a position on."""
        if not literal:
            yield position, position
            return
        word = words_of(literal)[0] if self.loose and literal.strip() else literal
        lead = literal.index(word)
        start = position
        for _ in range(_MAX_STOPS):
            start = self.text.find(word, start, self.end)
            if start < 0:
                return
            exact = start - lead
            if exact >= position and self.text.startswith(literal, exact) and exact + len(literal) <= self.end:
                blank = self.loose and not self.text[position:exact].strip()
                yield (position if blank else exact), exact + len(literal)
            elif self.loose and (stop := self._skip_words(literal, start)) is not None:
                yield self._before_space(start, position), stop
            start += 1

    def after_space(self, position: int) -> int:
        """Return the position of the first character from a position on that is not white space."""
        while position < self.end and self.text[position].isspace():
            position += 1
        return position

    def _before_space(self, position: int, start: int) -> int:
        while position > start and self.text[position - 1].isspace():
            position -= 1
        return position


def type_of(value: Any) -> JsonType:
    """Return the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


# -- one value


@dataclass(frozen=True)
class Written:
    """The way in which values of one type are written: ``before`` and ``after`` are the template's own text."""

    before: str
    notation: Notation
    after: str


def read_json(scan: Scan, position: int) -> tuple[Any, int] | None:
    """Read a JSON value; return None also if it is too deep, repeats a key, or contains NaN or an infinity."""
    try:
        value, stop = STRICT.raw_decode(scan.text, scan.after_space(position) if scan.loose else position)
    except (ValueError, RecursionError):
        return None
    if stop > scan.end or is_too_deep(scan.text[position:stop], value):
        return None
    return value, stop


def read_whole(scan: Scan, position: int, notation: Notation, following: str) -> Iterator[tuple[Any, int]]:
    """Read a value that is written at once, before a literal."""
    if notation == "python":
        for start, _ in scan.find(following, position) if following else [(scan.end, scan.end)]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about unknown escape sequences
                    value = ast.literal_eval(scan.text[position:start].strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            yield value, start
    elif (found := read_json(scan, position)) is not None:
        value, stop = found
        if notation == "encoded" and isinstance(value, str):
            try:
                yield STRICT.decode(value), stop
            except (ValueError, RecursionError):
                return
        else:
            yield value, stop


# -- members written one by one


@dataclass(frozen=True)
class Members:
    """A container whose members the template writes one by one.

    Attributes:
        opens, closes: the text around all members.
        key_opens: the text before a key; None for a list.
        types: how values are written, by type; ``before`` follows the key.
        separator: the text between two members.
        empty: the text without members, if it is not ``opens`` and ``closes``.
        nested: the notations of lists and objects inside, where they are written by members too.
    """

    opens: str
    key_opens: str | None
    types: Mapping[JsonType, tuple[Written, ...]]
    separator: str
    closes: str
    empty: str | None = None
    nested: tuple[Members, ...] = ()

    @cached_property
    def befores(self) -> tuple[str, ...]:
        """The texts that may stand before a value, the longest first."""
        befores = {written.before for each in self.types.values() for written in each}
        return tuple(sorted(befores, key=lambda text: (-len(text), text)))

    def read(
        self, scan: Scan, position: int, following: str, schema: Mapping[str, JsonType] | None = None
    ) -> Iterator[tuple[Any, int]]:
        """Read the container at a position, before a literal."""
        if self.empty is not None and (stop := scan.skip(self.empty, position)) is not None:
            yield self._made([]), stop
        start = scan.skip(self.opens, position)
        if start is None:
            return
        items: list[tuple[str, Any]] = []
        place: int | None = start
        while place is not None and (found := self._member(scan, place, following, schema or {})) is not None:
            key, value, place = found
            items.append((key, value))
            start = place
            place = scan.skip(self.separator, place)
        stop = scan.skip(self.closes, start)
        if stop is not None:
            yield self._made(items), stop

    def _made(self, items: list[tuple[str, Any]]) -> Any:
        return [value for _, value in items] if self.key_opens is None else dict(items)

    def _member(
        self, scan: Scan, position: int, following: str, schema: Mapping[str, JsonType]
    ) -> tuple[str, Any, int] | None:
        if self.key_opens is None:
            found = self._value(scan, position, following, "", None, [(before, position) for before in self.befores])
            return None if found is None else ("", *found)
        start = scan.skip(self.key_opens, position)
        if start is None:
            return None
        places = [
            (*place, before) for before in self.befores for place in [next(scan.find(before, start), None)] if place
        ]
        if not places:
            return None
        end = min(first for first, _, _ in places)
        key = scan.text[start:end].strip() if scan.loose else scan.text[start:end]
        if len(key) > _MAX_KEY or "\n" in key or (following.strip() and following.strip() in key):
            return None
        befores = [(before, end) for first, _, before in places if first == end]
        found = self._value(scan, position, following, key, schema.get(key), befores)
        return None if found is None else (key, *found)

    def _value(
        self,
        scan: Scan,
        position: int,
        following: str,
        key: str,
        expected: JsonType | None,
        befores: list[tuple[str, int]],
    ) -> tuple[Any, int] | None:
        """Read a value after one of the texts that may stand before it; the type that a schema expects goes first."""
        order = sorted(TYPES, key=lambda name: name != expected and not (expected == "number" and name == "integer"))
        for before, place in befores:
            start = scan.skip(before, place)
            if start is None:
                continue
            for name in order:
                for written in self.types.get(name, ()):
                    if written.before != before:
                        continue
                    after = written.after.replace(KEY, key)
                    for value, end in self._written(scan, start, written.notation, after, name, following):
                        if name == "string" and expected not in (None, "string"):
                            return _as_expected(value, expected), end
                        if type_of(value) == name or (name == "number" and type_of(value) == "integer"):
                            return value, end
        return None

    def _written(
        self, scan: Scan, start: int, notation: Notation, after: str, name: JsonType, following: str
    ) -> Iterator[tuple[Any, int]]:
        found: Iterator[tuple[Any, int]]
        if notation == "members":
            nested = next((each for each in self.nested if (each.key_opens is None) == (name == "array")), None)
            found = iter(()) if nested is None else replace(nested, nested=self.nested).read(scan, start, after)
        elif notation in ("json", "encoded"):
            found = read_whole(scan, start, notation, after)
        else:
            # The text after a value is no part of it, but of a string, or of one inside it.
            tries = _MAX_STOPS if notation == "text" else (_MAX_QUOTED if name in ("array", "object", "string") else 1)
            found = self._by_end(
                scan, start, notation, itertools.islice(self._text_ends(scan, start, after, following), tries)
            )
        for value, end in found:
            stop = scan.skip(after, end)
            if stop is not None and self._ends_member(scan, stop, following):
                yield value, stop

    def _by_end(self, scan: Scan, start: int, notation: Notation, ends: Iterable[int]) -> Iterator[tuple[Any, int]]:
        """Yield values whose end is known only from the text after them."""
        for end in ends:
            if end < start:
                return  # The text after the value is written in another way.
            if notation == "python":
                yield from read_whole(replace(scan, end=end), start, "python", "")
            elif notation == "text":
                yield scan.text[start:end], end
            elif end == start:
                yield None, end

    def _text_ends(self, scan: Scan, start: int, after: str, following: str) -> Iterator[int]:
        if after.strip():
            # The first closing text that another member or the end follows, whatever white space is between, ends it.
            loosely = replace(scan, loose=True)
            for first, stop in loosely.find(after, start):
                if self._ends_member(loosely, stop, following):
                    yield first if scan.loose else scan.text.find(after, first, stop)
                    return
            return
        stops = [
            after + self.separator + (self.key_opens or ""),
            after + self.closes + (following if not self.closes.strip() else ""),
        ]
        places = heapq.merge(*(scan.find(stop, start) for stop in stops if stop.strip() or not scan.loose))
        yield from (end for end, _ in itertools.groupby(end for end, _ in places))
        if not following and not self.closes and not after:
            yield scan.end

    def _ends_member(self, scan: Scan, position: int, following: str) -> bool:
        """Return whether another member, or the end of the container, begins at a position."""
        another = scan.skip(self.separator, position)
        if another is not None and self.key_opens and scan.skip(self.key_opens, another) is not None:
            return True
        if another is not None and not self.key_opens and self.separator.strip():
            return True
        closed = scan.skip(self.closes, position)
        return closed is not None and (not following or scan.skip(following, closed) is not None)


def _as_expected(text: Any, expected: JsonType | None) -> Any:
    """Return the value that a text is in JSON or Python, if a schema expects one of its type; else the text."""
    word = str(text).strip()
    if word in _SPELLED:
        value = _SPELLED[word]
    else:
        try:
            value = STRICT.decode(word)
        except (ValueError, RecursionError):
            return text
    fits = type_of(value) == expected or (expected == "number" and type_of(value) == "integer")
    return value if fits else text


def common_end(first: str, second: str) -> int:
    """Return the length of the common end of two texts that cuts no tag in two."""
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    end = first[len(first) - length :]
    if length < max(len(first), len(second)) and (cut := end.find(">")) >= 0 and "<" not in end[:cut]:
        length -= cut + 1
    return length


def common_start(first: str, second: str) -> int:
    """Return the length of the common start of two texts that cuts no tag in two."""
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    if (
        length < max(len(first), len(second))
        and (cut := first.rfind("<", 0, length)) >= 0
        and ">" not in first[cut:length]
    ):
        length = len(first[:cut])
    return length
