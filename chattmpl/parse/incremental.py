"""Incremental reading of a completion: the common part of all messages that it may still become.

Each form of a turn that begins like the text is a *reading*. A reading forks where the text that follows a slot may
begin, and is dropped when the text differs from its form, or when a field would contain markup. Only what all readings
that are left agree on is shown, so later text never takes it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from chattmpl.parse.forms import Calls, Form, Slot
from chattmpl.parse.incremental_calls import MORE, CallsReader, CallView, Window
from chattmpl.parse.turn_grammar import TurnGrammar
from chattmpl.parse.values import JsonType, words_of
from chattmpl.template.special_tokens import CONTROL

_CONTROL_START = re.compile(r"<(?:[|｜][^<>]{0,62}|(?:start|end)_of_turn|/?\w{0,12})?\Z|\[(?:\|[^\[\]]{0,62})?\Z")
Delta = dict[str, Any]
"""An addition to a message, in the form of the OpenAI API."""

_LONG = 400
"""Characters after which text is looked at again that may be the beginning of markup."""

_NAMES = {"reasoning": "reasoning_content", "content": "content"}

_PLAIN, _INLINE, _FENCE = "", "`", "```"


class _Markup:
    """The markup that no field may contain, and the characters with which it begins."""

    def __init__(self, grammar: TurnGrammar) -> None:
        forms = (*grammar.forms, *grammar.composed)
        words = {_word(text) for form in forms for text in _literals(form)} - {""}
        self.words = tuple(sorted(words))
        self.calls = tuple("".join(text.split()) for text in grammar.openers if not CONTROL.search(text))
        self.tokens = {*grammar.openers, *words}
        texts = [re.escape(text) for text in grammar.openers if CONTROL.search(text)]
        self.pattern = re.compile("|".join([grammar.markup.pattern, *texts]))
        self.template_tokens = grammar.tokens
        starts = {token[0] for token in [*self.tokens, *self.template_tokens]} | {"<", "[", "`"}
        self.special = re.compile("[" + "".join(map(re.escape, sorted(starts))) + "]")
        self.inline = re.compile("[\\n" + "".join(map(re.escape, sorted(starts))) + "]")

    def plain(self, text: str, mode: str) -> int:
        """Return the end of the text that is no markup; `MORE` if there is markup, or code begins or ends."""
        special = self.inline if mode == _INLINE else self.special
        found = special.search(text)
        while found is not None:
            place = found.start()
            if found[0] in "`\n" or self.pattern.match(text, place) or text.startswith(self.words, place):
                return MORE
            if self.may_begin(text[place : place + _LONG]):
                return place
            found = special.search(text, place + 1)
        return len(text)

    def may_begin(self, rest: str) -> bool:
        """Return whether a text up to the end may be the beginning of markup."""
        return (
            any(len(rest) < len(token) and token.startswith(rest) for token in (*self.tokens, *self.template_tokens))
            or _CONTROL_START.match(rest) is not None
        )


def _literals(form: Form) -> Iterator[str]:
    yield form.ending
    for part in form.parts:
        if isinstance(part, Calls):
            yield part.start
        elif isinstance(part, str):
            yield part


def _word(text: str) -> str:
    """Return the first word of a literal."""
    return next(iter(words_of(text)), "")


class _Field:
    """The text of a field from an offset on, searched for markup outside of Markdown code.

    Attributes:
        scanned: the end of the text that was searched.
        held: the offset from which on the text may turn out to be markup.
        marked: the offset of markup that ends the field.
        call_like: True while the text begins like a call, so that only its end shows that it is none.
    """

    def __init__(self, name: str, start: int, window: Window, markup: _Markup) -> None:
        self.name, self.start, self.window, self.markup = name, start, window, markup
        self.scanned = self.held = start
        self.marked: int | None = None
        self.mode = _PLAIN
        self.quoted: int | None = None
        self._codes: list[tuple[int, int]] = []
        self.call_like = bool(markup.calls)

    def may_end(self, place: int, last: bool) -> bool:
        """Return whether the field may end at an offset: not inside a line's code after markup, which it then is.

        A field that begins like a call may only be the ``last``, since the end of the text shows if it is one.
        """
        inside = self.mode == _INLINE and self.quoted is not None and self.quoted < place
        called = self.call_like and "".join(self.window.cut(self.start, place).split()).startswith(self.markup.calls)
        return (last or not called) and not inside and not any(quoted < place <= end for quoted, end in self._codes)

    def scan(self) -> None:
        """Search the text that has come."""
        window, markup = self.window, self.markup
        text, base = window.text, window.base
        while self.marked is None:
            found = (markup.inline if self.mode == _INLINE else markup.special).search(text, self.scanned - base)
            if found is None:
                self.scanned = window.end
                break
            place, character = found.start() + base, found[0]
            self.scanned = place
            if character == "`" and not self._fence(place):
                break
            if character == "\n":
                self.mode, self.marked, self.scanned = _PLAIN, self.quoted, place + 1
            elif character != "`":
                if markup.pattern.match(text, place - base):
                    if self.mode == _PLAIN:
                        self.marked = place
                    elif self.quoted is None:
                        self.quoted = place
                elif markup.may_begin(text[place - base : place - base + _LONG]):
                    break
                self.scanned = place + 1
        self.held = next(each for each in (self.marked, self.quoted, self.scanned) if each is not None)
        if self.call_like and self.start >= base:
            start = "".join(text[self.start - base :][:_LONG].split())
            self.call_like = any(start.startswith(each) or each.startswith(start) for each in markup.calls)
        if self.call_like:
            self.held = self.start

    def _fence(self, place: int) -> bool:
        """Open or close code at a backtick; return False if more text is needed."""
        ticks = self.window.cut(place, place + 3)
        if self.mode == _INLINE:
            if self.quoted is not None:
                self._codes.append((self.quoted, place))
            self.mode, self.quoted, self.scanned = _PLAIN, None, place + 1
            return True
        if len(ticks) < 3 and ticks.strip("`") == "":
            return False
        if ticks == _FENCE:
            self.mode = _PLAIN if self.mode == _FENCE else _FENCE
            self.quoted, self.scanned = None, place + 3
        else:
            self.mode, self.scanned = (self.mode if self.mode == _FENCE else _INLINE), place + 1
        return True

    @property
    def simple(self) -> bool:
        """True if text without a special character can only continue the field."""
        return self.marked is None and self.quoted is None and self.held == self.window.end

    @property
    def shown(self) -> int:
        """The end of the text that is certain to belong to the field if it goes on."""
        return self.window.before_space(self.held, self.start)


@dataclass
class View:
    """The known part of a message: ranges of the text, and calls."""

    ranges: dict[str, tuple[int, int]]
    calls: list[CallView]

    def shared(self, other: View) -> View:
        """Return the common part of two readings."""
        ranges = {}
        for name in ("reasoning", "content"):
            mine, theirs = self.ranges.get(name), other.ranges.get(name)
            if mine is not None and theirs is not None and mine[0] == theirs[0]:
                ranges[name] = mine[0], min(mine[1], theirs[1])
        calls = [mine.shared(theirs) for mine, theirs in zip(self.calls, other.calls, strict=False)]
        return View(ranges, calls)


@dataclass(frozen=True)
class _Reading:
    """A form that begins like the text, read up to ``place``.

    Attributes:
        index: the part of the form that begins at ``place``.
        ranges: the fields before it.
        slot: the field whose text is being read.
        searched: the offset from which on the end of the slot is searched.
        after: the slot that may end where this part begins, at ``place``.
        calls: the reader of the calls that begin at ``place``.
    """

    form: Form
    index: int
    place: int
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    slot: _Field | None = None
    searched: int = 0
    after: _Field | None = None
    calls: CallsReader | None = None

    @property
    def key(self) -> Any:
        """The identity of a reading; of two that are the same, one is enough."""
        return id(self.form), self.index, self.place, id(self.slot), id(self.after), id(self.calls)

    @property
    def view(self) -> View:
        """The message that is known if the text is read like this."""
        ranges = dict(self.ranges)
        current = self.slot or self.after
        if current is not None:
            end = current.shown if self.slot else self.window_end(current)
            ranges[current.name] = current.start, end
        return View(ranges, self.calls.views if self.calls else [])

    def window_end(self, current: _Field) -> int:
        """Return the end of the slot that may end here."""
        if current.call_like and self.index == len(self.form.parts):
            return current.start
        return current.window.before_space(self.place, current.start)

    @property
    def keep(self) -> int:
        """The offset from which on the text is needed."""
        if self.slot is not None:
            return self.slot.shown
        if self.calls is not None:
            return self.calls.keep
        return self.after.window.before_space(self.place, self.after.start) if self.after else self.place


class TurnReader:
    """A reader of one assistant turn that comes in pieces."""

    def __init__(self, grammar: TurnGrammar, schemas: Mapping[str, Mapping[str, JsonType]]) -> None:
        self._markup = _Markup(grammar)
        self._schemas = schemas
        self._supplied = len(grammar.supplied)
        self._window = Window()
        self._fields: dict[tuple[str, int], _Field] = {}
        self._ends = grammar.ends
        self._readings = [_Reading(form, 0, 0) for form in _distinct((*grammar.forms, *grammar.composed))]
        self._pending: list[str] = []
        self._waiting = 0
        self._simple: _Field | None = None
        self._arguments: list[CallsReader] = []
        self._sent: dict[str, int] = {}
        self._calls: list[dict[str, Any]] = []
        self.feed(grammar.supplied)

    def feed(self, text: str) -> list[Delta]:
        """Read on; return the deltas that have become certain."""
        if self._simple is not None:
            if (deltas := self._plain(text, self._simple)) is not None:
                return deltas
            self._readings = [replace(reading, searched=self._window.base) for reading in self._readings]
            self._simple = None
        elif self._arguments:
            return self._arguments_in_json(text)
        elif not self._readings:
            return []
        self._pending.append(text)
        self._waiting += len(text)
        if self._waiting * 16 < len(self._window.text) - 4096:
            return []  # Text that is held back for long is not copied with every piece.
        self._window.text += "".join(self._pending)
        self._pending, self._waiting = [], 0
        return self._read()

    def _plain(self, text: str, current: _Field) -> list[Delta] | None:
        """Show text up to what may be markup and white space at its end; None if it needs a closer look."""
        window = self._window
        text = window.text + text
        place = self._markup.plain(text, current.mode) if len(text) < _LONG else MORE
        if place == MORE:
            return None
        shown = text[:place].rstrip()
        window.base += len(shown)
        window.text = text[len(shown) :]
        current.scanned = current.held = window.base
        if not shown:
            return []
        self._sent[current.name] = window.base
        return [{_NAMES[current.name]: shown}]

    def _arguments_in_json(self, text: str) -> list[Delta]:
        """Show arguments as they are written, up to their end."""
        window = self._window
        (end,) = {reader.take(text) for reader in self._arguments}
        if end == len(text):
            window.base += end
            self._calls[-1]["arguments"] = window.base
            return [_call_delta(len(self._calls) - 1, function={"arguments": text})]
        self._arguments = []
        window.text = text
        return self._read()

    def _read(self) -> list[Delta]:
        for current in self._fields.values():
            current.scan()
        done: dict[Any, _Reading] = {}
        todo = list(reversed(self._readings))
        while todo:
            stays, following = self._advanced(todo.pop())
            if stays is not None:
                done.setdefault(stays.key, stays)
            todo += reversed(following)
        self._readings = list(done.values())
        if not self._readings:
            self._window.text = ""
            return []
        view = reduce(View.shared, (reading.view for reading in self._readings))
        deltas = [*self._text_deltas(view), *self._call_deltas(view)]
        self._trim()
        return deltas

    # -- readings

    def _advanced(self, reading: _Reading) -> tuple[_Reading | None, list[_Reading]]:
        """Return the reading, if it goes on where it is, and those that follow it."""
        if reading.calls is not None:
            reading.calls.advance()
            return (None if reading.calls.dead else reading), []
        if reading.slot is not None:
            return self._in_slot(reading, reading.slot)
        if reading.after is not None:
            return self._after_slot(reading, reading.after)
        form, index, place = reading.form, reading.index, reading.place
        if index == len(form.parts):
            return (reading if self._may_end(form, place) else None), []
        part = form.parts[index]
        if isinstance(part, Slot):
            if place < self._supplied:
                return None, []
            current = self._field(part.field, place)
            return None, [replace(reading, slot=current, searched=place)]
        if isinstance(part, Calls):
            return None, [replace(reading, calls=self._reader(form, index, place))]
        end = self._window.skip(part, place)
        if end is None or end == MORE:
            return (None if end is None else reading), []
        return None, [replace(reading, index=index + 1, place=end)]

    def _in_slot(self, reading: _Reading, current: _Field) -> tuple[_Reading | None, list[_Reading]]:
        """Fork where the text after the slot may begin; drop the reading if the slot would contain markup."""
        literal = _following(reading.form, reading.index)
        inside = replace(reading, slot=None, after=current, index=reading.index + 1)
        last = reading.index + 1 == len(reading.form.parts)
        if not literal and not last:
            return None, [replace(inside, place=current.start)]
        words = {_word(literal) or literal, *(map(_word, self._ends) if last else ())} - {""}
        forks = []
        for word in words:
            place = reading.searched
            while (found := self._window.find(word, place)) != MORE:
                if current.marked is not None and found > current.marked:
                    break
                if current.may_end(found, last):
                    forks.append(replace(inside, place=found))
                place = found + 1
        return (replace(reading, searched=self._window.end) if current.marked is None else None), forks

    def _after_slot(self, reading: _Reading, current: _Field) -> tuple[_Reading | None, list[_Reading]]:
        """Find out if the slot ends where this reading says."""
        form, index, window = reading.form, reading.index, self._window
        if index == len(form.parts):
            return (reading if self._may_end(form, reading.place) else None), []
        literal = _following(form, index - 1)
        lead = literal[: len(literal) - len(literal.lstrip())]
        place = reading.place - len(lead)
        end: int | None = None
        if place >= current.start and window.cut(place, reading.place) == lead:
            there = window.cut(place, place + len(literal))
            if there == literal:
                end = place + len(literal)
            elif literal.startswith(there):
                return reading, []
        if end is None:
            place, end = (
                window.before_space(reading.place, current.start),
                window.skip(literal, reading.place, loose=True),
            )
            if end is None or end == MORE:
                return (None if end is None else reading), []
        ranges = {**reading.ranges, current.name: (current.start, place)}
        if isinstance(form.parts[index], Calls):
            return None, [replace(reading, after=None, ranges=ranges, place=place)]
        return None, [replace(reading, after=None, ranges=ranges, place=end, index=index + 1)]

    def _field(self, name: str, start: int) -> _Field:
        if (name, start) not in self._fields:
            self._fields[name, start] = _Field(name, start, self._window, self._markup)
            self._fields[name, start].scan()
        return self._fields[name, start]

    def _reader(self, form: Form, index: int, place: int) -> CallsReader:
        rest = "".join(part for part in form.parts[index + 1 :] if isinstance(part, str))
        endings = tuple(dict.fromkeys(rest + ending for ending in (form.ending, *self._ends)))
        calls = form.parts[index]
        assert isinstance(calls, Calls)
        return CallsReader(calls, place, self._window, self._schemas, endings)

    def _may_end(self, form: Form, place: int) -> bool:
        """Return whether the text from an offset on may be the beginning of what ends a turn."""
        rest = self._window.cut(place, self._window.end)
        return any(
            ending.startswith(rest) or ending.strip().startswith(rest.strip()) for ending in (form.ending, *self._ends)
        )

    # -- what is shown

    def _text_deltas(self, view: View) -> Iterator[Delta]:
        for name, (start, end) in view.ranges.items():
            place = self._sent.get(name, start)
            if end > place:
                text = self._window.cut(place, end)
                if name in self._sent or not text.isspace():  # White space alone may count as none in the end.
                    yield {_NAMES[name]: text}
                self._sent[name] = end

    def _call_deltas(self, view: View) -> Iterator[Delta]:
        for index, call in enumerate(view.calls):
            if index == len(self._calls):
                if "name" not in call.fields:
                    return
                self._calls.append({"id": call.fields.get("id"), "arguments": None})
                identifier = {"id": call.fields["id"]} if "id" in call.fields else {}
                function = {"name": call.fields["name"], "arguments": ""}
                yield _call_delta(index, **identifier, type=call.fields.get("type", "function"), function=function)
            sent = self._calls[index]
            if sent["id"] is None and "id" in call.fields:
                sent["id"] = call.fields["id"]
                yield _call_delta(index, id=sent["id"])
            if isinstance(call.arguments, tuple):
                place = call.arguments[0] if sent["arguments"] is None else sent["arguments"]
                text = self._window.cut(place, call.arguments[1])
                sent["arguments"] = call.arguments[1]
            else:
                text = call.arguments or "" if sent["arguments"] is None else ""
                sent["arguments"] = sent["arguments"] if call.arguments is None else -1
            if text:
                yield _call_delta(index, function={"arguments": text})

    def _trim(self) -> None:
        """Forget the text that no reading needs, and find out if the next piece can be read quickly."""
        window = self._window
        keep = [reading.keep for reading in self._readings]
        for reading in self._readings:
            view = reading.view
            sent = {name: (self._sent.get(name, start), end) for name, (start, end) in view.ranges.items()}
            keep += [place for place, end in sent.values() if place < end]
            for number, call in enumerate(view.calls):
                if isinstance(call.arguments, tuple):
                    shown = self._calls[number]["arguments"] if number < len(self._calls) else None
                    keep.append(call.arguments[0] if shown is None else shown)
        self._fields = {
            (each.name, each.start): each
            for reading in self._readings
            for each in [reading.slot, reading.after]
            if each
        }
        least = max(window.base, min(each for each in keep if each != -1))
        window.text, window.base = window.text[least - window.base :], least
        first = self._readings[0]
        if all(reading.slot is first.slot for reading in self._readings) and first.slot is not None:
            if first.slot.simple and self._sent.get(first.slot.name) == window.base:
                self._simple = first.slot
        elif not window.text:
            readers = [reading.calls for reading in self._readings if reading.calls is not None]
            places = {reader.json_place for reader in readers}
            if len(readers) == len(self._readings) and len(places) == 1 and None not in places:
                self._arguments = readers


def _call_delta(index: int, **fields: Any) -> Delta:
    return {"tool_calls": [{"index": index, **fields}]}


def _following(form: Form, index: int) -> str:
    """Return the text with which a slot ends: the next part's, or the ending of the turn."""
    if index + 1 == len(form.parts):
        return form.ending
    part = form.parts[index + 1]
    return part.start if isinstance(part, Calls) else str(part)


def _distinct(forms: tuple[Form, ...]) -> Iterator[Form]:
    """Yield the forms without those of which an earlier one reads all texts."""
    seen = set()
    for form in forms:
        key = repr([None if isinstance(part, Slot) else part for part in form.parts]), form.ending
        if key not in seen:
            seen.add(key)
            yield form
