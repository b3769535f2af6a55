"""Incremental reading of tool calls: the fields of each call that later text cannot change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chattmpl.parse.forms import MAX_NAME, NAME, NAME_IN_ID, Argument, Calls, JsonCall, Slot, beginning
from chattmpl.parse.values import JsonType, Scan, words_of

MORE = -1
"""The answer of a reader that needs more text."""

_JSON_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+(?=[\s"{}\[\],:]))', re.DOTALL)
_JSON_EVENT = re.compile(r'["\\{}\[\]]')
_QUOTES = ("[", "{", "(", '"', "'")


class Window:
    """The end of a text: offsets count from the beginning of the whole text, of which ``text`` starts at ``base``."""

    def __init__(self) -> None:
        self.text = ""
        self.base = 0

    @property
    def end(self) -> int:
        """The end of the whole text."""
        return self.base + len(self.text)

    def cut(self, start: int, end: int) -> str:
        """Return the text between two offsets."""
        return self.text[start - self.base : end - self.base]

    def after_space(self, place: int) -> int:
        """Return the offset of the first character from an offset on that is not white space."""
        rest = self.text[place - self.base :]
        return self.end - len(rest.lstrip())

    def before_space(self, place: int, start: int) -> int:
        """Return the end of the text before an offset without its trailing white space."""
        return max(start, self.base) + len(self.cut(max(start, self.base), place).rstrip())

    def skip(self, literal: str, place: int, *, loose: bool = False) -> int | None:
        """Return the end of a literal; None if the text differs, `MORE` if it is too short to tell.

        White space that differs counts only if the text does not have the literal itself; ``loose`` says that it
        has not.
        """
        if not loose:
            there = self.text[place - self.base : place - self.base + len(literal)]
            if there == literal:
                return place + len(literal)
            if literal.startswith(there) and place + len(there) == self.end:
                return MORE
        for word in words_of(literal):
            place = self.after_space(place)
            there = self.cut(place, place + len(word))
            if there != word:
                return MORE if word.startswith(there) and place + len(there) == self.end else None
            place += len(word)
        place = self.after_space(place)
        return MORE if place == self.end else place

    def find(self, word: str, place: int) -> int:
        """Return the offset of a word, or of the beginning of one at the end of the text; `MORE` if there is none."""
        found = self.text.find(word, place - self.base)
        if found < 0:
            for length in range(min(len(word) - 1, self.end - place), 0, -1):
                if self.text.endswith(word[:length]):
                    return self.end - length
        return MORE if found < 0 else found + self.base


@dataclass
class CallView:
    """The known part of a call; ``arguments`` is the range of their JSON in the text, or their text."""

    fields: dict[str, str] = field(default_factory=dict)
    arguments: tuple[int, int] | str | None = None
    complete: bool = False

    def shared(self, other: CallView) -> CallView:
        """Return the common part of two readings of a call."""
        names = self.fields.keys() & other.fields.keys()
        fields = {name: self.fields[name] for name in names if self.fields[name] == other.fields[name]}
        mine, theirs = self.arguments, other.arguments
        same: tuple[int, int] | str | None = mine if mine == theirs else None
        if isinstance(mine, tuple) and isinstance(theirs, tuple) and mine[0] == theirs[0]:
            same = mine[0], min(mine[1], theirs[1])
        return CallView(fields, same if len(fields) == len(self.fields) else None, self.complete and other.complete)


class JsonText:
    """A reader of one JSON value as it is written, to its end."""

    def __init__(self) -> None:
        self.depth = 0
        self.quoted = False
        self.escaped = False

    def read(self, text: str, place: int = 0) -> int:
        """Return the end of the value; `MORE` if it goes on after the text."""
        while True:
            if self.escaped:
                if place >= len(text):
                    return MORE
                place, self.escaped = place + 1, False
            found = _JSON_EVENT.search(text, place)
            if found is None:
                return MORE
            place, event = found.end(), found[0]
            if self.quoted:
                self.escaped = event == "\\"
                self.quoted = event != '"'
            elif event == '"':
                self.quoted = True
            else:
                self.depth += 1 if event in "{[" else -1
            if self.depth <= 0 and not self.quoted:
                return place


class CallsReader:
    """A reader of the calls of a turn from an offset on.

    Attributes:
        views: the calls, as far as they are known.
        dead: no calls in this form can begin like this text.
        end: the end of the last complete call, after which the turn may end; `MORE` if there is none.
    """

    def __init__(
        self,
        calls: Calls,
        start: int,
        window: Window,
        schemas: Mapping[str, Mapping[str, JsonType]],
        endings: tuple[str, ...],
    ) -> None:
        self.calls, self.window, self.schemas = calls, window, schemas
        self.closings = [calls.closes + ending for ending in endings]
        self.place = start
        self.views: list[CallView] = []
        self.dead = False
        self.end = MORE
        self.raw: JsonText | None = None
        self._index = -1
        self._json: list[tuple[Mapping[Any, Any], set[str]]] = []
        self._shape: Any = None
        self._expected = ""
        self._searched = start
        self._least = 0
        slots = {part.field for part in calls.call if isinstance(part, Slot)}
        shapes = repr([part.shape for part in calls.call if isinstance(part, JsonCall)])
        self._named = "name" in slots or "field='name'" in shapes

    @property
    def keep(self) -> int:
        """The offset from which on the text is needed."""
        return self.place

    def advance(self) -> None:
        """Read on, as far as the text goes."""
        while not self.dead:
            before = self.place, self._index, self._expected, self.raw, len(self._json)
            if self._index < 0:
                self._literal(self.calls.opens, 0)
            elif self._index == len(self.calls.call):
                self._after_call()
            else:
                if not self.views or self.views[-1].complete:
                    self.views.append(CallView())
                self._part(self.calls.call[self._index])
            if before == (self.place, self._index, self._expected, self.raw, len(self._json)):
                return

    def _literal(self, literal: str, following: int) -> None:
        end = self.window.skip(literal, self.place)
        if end is None:
            self.dead = True
        elif end != MORE:
            self.place, self._index = end, following

    def _part(self, part: Any) -> None:
        if isinstance(part, str):
            self._literal(part, self._index + 1)
        elif isinstance(part, Slot):
            self._slot(part)
        elif isinstance(part, JsonCall):
            self._object(part)
        elif isinstance(part, Argument):
            self._set("name", part.name)
            self._held_arguments()
        elif part.notation == "json":
            if self.raw is None:
                self.place = self.window.after_space(self.place)
                if self.place == self.window.end:
                    return
                self._begin_arguments()
            self._raw_arguments()
        else:
            self._held_arguments()
        if self._index == len(self.calls.call) and not self.dead:
            self._complete()

    def _complete(self) -> None:
        view = self.views[-1]
        self._name_from_id(view)
        if "name" not in view.fields:
            self.dead = True
        view.complete = True
        if view.arguments is None:
            view.arguments = "{}"
        self.end = self.place

    def _after_call(self) -> None:
        """Continue with another call, or check that the text may end here."""
        window, calls = self.window, self.calls
        first = calls.call[0] if isinstance(calls.call[0], str) else ""
        if calls.many:
            after = window.skip(calls.separator, self.place)
            another = after if after in (None, MORE) or not first else window.skip(first, after or 0)
            if another == MORE or (after == window.end and not first):
                return
            if after is not None and another is not None and (first or self._may_be_call(after)):
                self.place, self._index = after, 0
                return
        rest = window.cut(self.place, window.end)
        if not any(
            "".join(closing.split()).startswith("".join(rest[: len(closing) + 100].split()))
            for closing in self.closings
        ):
            self.dead = True

    def _may_be_call(self, place: int) -> bool:
        """Return whether another call may begin at an offset, where no text of the template opens it."""
        following = self.window.cut(place, place + 1)
        return bool(self.calls.separator.strip()) or not any(following in closing[:1] for closing in self.closings)

    @property
    def json_place(self) -> tuple[int, int] | None:
        """The number of calls and the offset of arguments in JSON inside which the text ends; None if it does not."""
        view = self.views[-1] if self.views else None
        if view is None or not isinstance(view.arguments, tuple) or self.raw is None or self.raw.depth <= 0:
            return None
        return len(self.views), view.arguments[0]

    def take(self, text: str) -> int:
        """Read a piece inside arguments in JSON that begins where the last one ended; return its part of them."""
        assert self.raw is not None
        view = self.views[-1]
        assert isinstance(view.arguments, tuple)
        end = self.raw.read(text)
        taken = len(text) if end == MORE else end
        self.place += taken
        view.arguments = view.arguments[0], self.place
        if end == MORE:
            return taken
        self._after_raw()
        return MORE

    # -- fields

    def _slot(self, part: Slot) -> None:
        window, following = self.window, self._following()
        self.place = window.after_space(self.place)
        if following:
            word = words_of(following)[0] if following.strip() else following
            place = window.find(word, self.place)
            if place == MORE or place + len(word) > window.end:
                self.dead = window.end - self.place > MAX_NAME + len(word)
                return
            lead = len(following) - len(following.lstrip()) if following.strip() else 0
            strict = place - lead >= self.place and window.cut(place - lead, place) == following[:lead]
            end = place - lead if strict else window.before_space(place, self.place)
            value = window.cut(self.place, end)
            value = value if strict and part.fits(value) else value.strip()
        else:
            match = NAME.match(window.text, self.place - window.base)
            if match is None or match.end() + window.base == window.end:
                self.dead = match is None and self.place < window.end
                return
            end, value = match.end() + window.base, match[0]
        if not part.fits(value):
            self.dead = True
            return
        self._set(part.field, value)
        self.place, self._index = end, self._index + 1

    def _following(self) -> str:
        index = self._index + 1
        return beginning(self.calls.call[index]) if index < len(self.calls.call) else ""

    def _set(self, name: str, value: str) -> None:
        fields = self.views[-1].fields
        if fields.setdefault(name, value) != value:
            self.dead = True

    def _name_from_id(self, view: CallView) -> None:
        if not self._named and (match := NAME_IN_ID.match(view.fields.get("id", ""))):
            view.fields["name"] = match[1]

    # -- arguments

    def _begin_arguments(self) -> None:
        self.raw = JsonText()
        self._name_from_id(self.views[-1])
        if (first := self.window.cut(self.place, self.place + 1)) == "{":
            self.views[-1].arguments = self.place, self.place
        elif first != '"':
            self.dead = True

    def _raw_arguments(self) -> None:
        """Read arguments in JSON as they are written; a JSON string is known when it is complete."""
        assert self.raw is not None
        view, window = self.views[-1], self.window
        if isinstance(view.arguments, tuple):
            place = view.arguments[1]
            end = self.raw.read(window.text, place - window.base)
            stop = window.end if end == MORE else end + window.base
            view.arguments = view.arguments[0], stop
            self.place = stop
        else:
            end = JsonText().read(window.text, self.place - window.base)
            if end != MORE:
                try:
                    view.arguments = json.loads(window.cut(self.place, end + window.base))
                except ValueError:
                    self.dead = True
                self.place = end + window.base
        if end != MORE:
            self._after_raw()

    def _after_raw(self) -> None:
        self.raw = None
        if self._json:
            self._expected = "end"
        else:
            self._index += 1
            if self._index == len(self.calls.call):
                self._complete()

    def _held_arguments(self) -> None:
        """Read arguments in another notation when the text after them has come."""
        window = self.window
        following = self._following()
        if not following.strip():
            return  # Only the end of the text shows where they end.
        word = words_of(following)[-1]
        if window.find(word, self._searched) in (MORE, *range(window.end - len(word) + 1, window.end)):
            return
        if window.end - self.place < self._least:
            return
        self._searched = window.end - len(word) + 1
        self._least = 2 * (window.end - self.place) if window.end - self.place > 4096 else 0
        text = window.cut(self.place, window.end)
        scan = Scan(text, len(text), True, self.schemas)
        fields = dict(self.views[-1].fields)
        for found, stop in self.calls.read_call(scan, self._index, 0, fields):
            given = found.get("arguments")
            if not isinstance(given, dict) or not _settled(given):
                return
            self.views[-1].arguments = json.dumps(given, ensure_ascii=False)
            self.place, self._index = self.place + stop, len(self.calls.call)
            return

    # -- calls in JSON

    def _object(self, part: JsonCall) -> None:
        """Read the tokens of a call that is a JSON object, along its shape."""
        if not self._json and not self._expected:
            self._shape, self._expected = part.shape, "value"
        if self._expected == "arguments":
            if self.raw is None:
                self._begin_arguments()
            self._raw_arguments()
            return
        match = _JSON_TOKEN.match(self.window.text, self.place - self.window.base)
        if match is None:
            self.dead = self.window.end - self.place > 2 * MAX_NAME
            return
        token = match[1]
        start = self.window.base + match.start(1)
        if self._expected == "value" and isinstance(self._shape, Slot) and self._shape.field == "arguments":
            self.place, self._expected = start, "arguments"
            return
        self.place = self.window.base + match.end()
        self._token(token)

    def _token(self, token: str) -> None:
        expected, shape = self._expected, self._shape
        if expected == "value" and isinstance(shape, Mapping) and token == "{":
            self._json.append((shape, set()))
            self._expected = "key"
        elif expected == "value" and not isinstance(shape, Mapping):
            self._value(token)
        elif expected == "key" and token[0] == '"':
            self._key(_decoded(token))
        elif expected == "colon" and token == ":":
            self._expected = "value"
        elif expected == "end" and token == ",":
            self._expected = "key"
        elif expected == "end" and token == "}":
            self._json.pop()
            if not self._json:
                self._expected, self._index = "", self._index + 1
        else:
            self.dead = True

    def _value(self, token: str) -> None:
        value = _decoded(token)
        if isinstance(self._shape, Slot):
            if isinstance(value, str):
                self._set(self._shape.field, value)
            elif self._shape.field == "name" or token in "{[":
                self.dead = True
        elif value != self._shape:
            self.dead = True
        self._expected = "end"

    def _key(self, key: Any) -> None:
        shape, seen = self._json[-1]
        keys = list(shape)
        if len(keys) == 1 and isinstance(keys[0], Slot) and isinstance(key, str) and not seen:
            self._set(keys[0].field, key)
            self._shape = shape[keys[0]]
        elif key in shape and key not in seen:
            self._shape = shape[key]
        else:
            self.dead = True
        seen.add(key)
        self._expected = "colon"


def _decoded(token: str) -> Any:
    try:
        return json.loads(token)
    except ValueError:
        return None


def _settled(value: Any) -> bool:
    """Return whether later text cannot change a value: a string may be the beginning of a value that is quoted."""
    if isinstance(value, str):
        return not value.lstrip().startswith(_QUOTES)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_settled, inner))
