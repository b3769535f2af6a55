"""The grammar of a family: its ``[parse]`` table, compiled into patterns.

A pattern is text with placeholders. ``${name}`` stands for text, which ends where the text after it in the pattern
first occurs; ``${tool:json}`` stands for a value of a kind:

* ``json``: a JSON value;
* ``arguments``: a JSON value kept together with its text, since the notation is not always restored from the value;
* ``keywords``: arguments such as ``city="Oslo", n="3"``;
* ``python``: a value in Python notation;
* ``numbered``: JSON values under the keys "0", "1", …, which mean text if all are single characters.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.parse.values import Scan, read_json
from chattmpl.template.family import Family, ParseFacts, SequenceFacts, TurnFacts
from chattmpl.template.template import Template

_PLACEHOLDER = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_KEYWORD = re.compile(r'(\w[\w.-]*)="([^"]*)"')
_NUMBERED = re.compile(r' *"(\d+)": ')

ValueReader = Callable[[str, int, int], tuple[Any, int] | None]
"""Function that reads a value between a position and an end of a text: the value and its end, or None."""


# -- patterns


@dataclass(frozen=True)
class Placeholder:
    """A variable part of a pattern: the name of its value, and the kind of value."""

    name: str
    kind: str


@dataclass(frozen=True)
class PatternMatch:
    """The values of a pattern's placeholders by name, and the end of the match."""

    values: Mapping[str, Any]
    end: int


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern: strings and placeholders."""

    parts: tuple[str | Placeholder, ...]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else "…" for part in self.parts)

    @cached_property
    def start(self) -> str:
        """The text before the first placeholder."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""

    @cached_property
    def end(self) -> str:
        """The text after the last placeholder."""
        return self.parts[-1] if self.parts and isinstance(self.parts[-1], str) else ""

    def match(self, text: str, position: int, end: int, *, full: bool = False) -> PatternMatch | None:
        """Match at a position of the text, within ``[position, end)``; with ``full`` the match must reach ``end``."""
        values: dict[str, Any] = {}
        for index, part in enumerate(self.parts):
            if isinstance(part, str):
                if not text.startswith(part, position) or position + len(part) > end:
                    return None
                position += len(part)
                continue
            found = self._value(part, index, text, position, end, full)
            if found is None:
                return None
            values[part.name], position = found
        return None if full and position != end else PatternMatch(values, position)

    def _value(
        self, placeholder: Placeholder, index: int, text: str, position: int, end: int, full: bool
    ) -> tuple[Any, int] | None:
        after = self.parts[index + 1] if index + 1 < len(self.parts) else ""
        assert isinstance(after, str)
        reader = _READERS.get(placeholder.kind)
        if reader is not None:
            found = reader(text, position, end)
            if found is not None and text.startswith(after, found[1]):
                return found
            if placeholder.kind != "arguments":
                return None
        if not after or (full and index + 2 == len(self.parts)):
            stop = end - len(after)
            if stop < position or not text.startswith(after, stop):
                return None
        else:
            stop = text.find(after, position, end)
            if stop < 0:
                return None
        return text[position:stop], stop


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Parse a pattern of ``family.toml``."""
    parts: list[str | Placeholder] = []
    position = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > position:
            parts.append(text[position : found.start()])
        name = found[1]
        parts.append(Placeholder(name, found[2] or ("arguments" if name == "arguments" else "text")))
        position = found.end()
    if position < len(text):
        parts.append(text[position:])
    return Pattern(tuple(parts))


@dataclass(frozen=True)
class SequenceMatch:
    """The items of a sequence: the values of each, the start of each, and the end of the sequence.

    ``closed`` says whether the closing text was found; otherwise ``end`` is the end of the last complete item.
    """

    items: tuple[Mapping[str, Any], ...]
    starts: tuple[int, ...]
    end: int
    closed: bool


@dataclass(frozen=True)
class SequencePattern:
    """A sequence of items, such as the calls of a turn or the tools of a system turn."""

    facts: SequenceFacts

    @cached_property
    def each(self) -> tuple[Pattern, ...]:
        """The patterns that an item may have."""
        return tuple(compile_pattern(pattern) for pattern in self.facts.each)

    @cached_property
    def starts(self) -> tuple[str, ...]:
        """The texts that the sequence may begin with."""
        openings = (self.facts.opens, *self.facts.also_opens)
        return tuple(opens + pattern.start for opens in openings for pattern in self.each)

    def find(self, text: str, position: int, end: int) -> int:
        """Return the next position where the sequence may begin, or -1."""
        found = [text.find(start, position, end) for start in self.starts]
        return min((place for place in found if place >= 0), default=-1)

    def match(self, text: str, position: int, end: int) -> SequenceMatch:
        """Match the longest run of items at a position."""
        for opens in (self.facts.opens, *self.facts.also_opens):
            if text.startswith(tuple(opens + pattern.start for pattern in self.each), position):
                return self._match(opens, text, position, end)
        return SequenceMatch((), (), position, False)

    def _match(self, opens: str, text: str, position: int, end: int) -> SequenceMatch:
        items: list[Mapping[str, Any]] = []
        starts: list[int] = []
        complete = position
        position += len(opens)
        while (found := self._item(text, position, end)) is not None and found.end > position:
            items.append(found.values)
            starts.append(position)
            complete = position = found.end
            if not text.startswith(self.facts.separator, position):
                break
            position += len(self.facts.separator)
        closes = self.facts.closes
        closed = bool(items) and text.startswith(closes, complete) and complete + len(closes) <= end
        return SequenceMatch(tuple(items), tuple(starts), complete + len(closes) * closed, closed)

    def _item(self, text: str, position: int, end: int) -> PatternMatch | None:
        for pattern in self.each:
            if (found := pattern.match(text, position, end)) is not None:
                return found
        return None


# -- values of placeholders


@dataclass(frozen=True)
class CallArguments:
    """The arguments of a call: the value, and its text in the rendering."""

    value: Any
    text: str

    @property
    def canonical(self) -> bool:
        """True if serializing the value restores the text."""
        return json.dumps(self.value, ensure_ascii=False) == self.text


def _read_json(text: str, position: int, end: int) -> tuple[Any, int] | None:
    return read_json(Scan(text, end), position)


def _read_arguments(text: str, position: int, end: int) -> tuple[Any, int] | None:
    found = _read_json(text, position, end)
    return None if found is None else (CallArguments(found[0], text[position : found[1]]), found[1])


def _read_keywords(text: str, position: int, end: int) -> tuple[Any, int] | None:
    arguments: dict[str, str] = {}
    while (found := _KEYWORD.match(text, position, end)) is not None:
        arguments[found[1]] = found[2]
        position = found.end()
        if not text.startswith(", ", position):
            break
        position += 2
    return arguments, position


def _read_python(text: str, position: int, end: int) -> tuple[Any, int] | None:
    stop = text.find("\n", position, end)
    stop = end if stop < 0 else stop
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown escape sequences
            return ast.literal_eval(text[position:stop]), stop
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _read_numbered(text: str, position: int, end: int) -> tuple[Any, int] | None:
    items: list[Any] = []
    while (found := _NUMBERED.match(text, position, end)) is not None:
        item = _read_json(text, found.end(), end)
        if item is None:
            return None
        items.append(item[0])
        position = item[1]
        if not text.startswith(",", position):
            break
        position += 1
    if all(isinstance(item, str) and len(item) == 1 for item in items):
        return "".join(items), position
    return [_content_part(item) for item in items], position


def _content_part(item: Any) -> Any:
    if isinstance(item, dict) and item.keys() == {"content"} and isinstance(item["content"], str):
        return {"type": "text", "text": item["content"]}
    return item


_READERS: dict[str, ValueReader] = {
    "json": _read_json,
    "arguments": _read_arguments,
    "keywords": _read_keywords,
    "python": _read_python,
    "numbered": _read_numbered,
}
"""The readers by kind; a placeholder of any other kind stands for text."""


# -- grammars


@dataclass(frozen=True)
class TurnFrame:
    """The text around the turns of one role."""

    facts: TurnFacts

    @cached_property
    def opens(self) -> Pattern:
        """The text before the content."""
        return compile_pattern(self.facts.opens)

    @cached_property
    def items(self) -> SequencePattern | None:
        """The sequence that the turn consists of; None if the turn is its content alone."""
        if self.facts.each is None:
            return None
        return SequencePattern(SequenceFacts(each=(self.facts.each,), separator=self.facts.separator))

    @cached_property
    def start(self) -> str:
        """The text that identifies the turn."""
        whole = len(self.opens.parts) == (1 if self.facts.opens else 0)
        after = compile_pattern(self.facts.each).start if self.facts.each else self.facts.begins
        return self.opens.start + (after if whole else "")


@dataclass(frozen=True)
class Grammar:
    """The compiled patterns for the texts of a family."""

    facts: ParseFacts
    control_tokens: tuple[str, ...]
    stop_tokens: tuple[str, ...]

    @cached_property
    def frames(self) -> tuple[TurnFrame, ...]:
        """The frames of turns, in the order in which they are tried."""
        return tuple(TurnFrame(facts) for facts in self.facts.turns)

    @cached_property
    def openers(self) -> re.Pattern[str]:
        """An expression for the start of any turn."""
        starts = sorted({frame.start for frame in self.frames}, key=_longest_first)
        return re.compile("|".join(map(re.escape, starts)))

    @cached_property
    def user(self) -> str:
        """The opening text of the simplest user turn."""
        found = [frame.facts.opens for frame in self.frames if frame.facts.role == "user" and not frame.items]
        return min((opens for opens in found if "${" not in opens), key=len, default="")

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """The texts that may end an assistant turn: stop tokens, with the text after them; longest first."""
        return tuple(sorted({*self.closes, *self.stop_tokens} - {""}, key=_longest_first))

    @cached_property
    def closes(self) -> tuple[str, ...]:
        """The closing texts of the assistant's frames, longest first."""
        closes = {close for frame in self.frames if frame.facts.role == "assistant" for close in frame.facts.closes}
        return tuple(sorted(closes, key=_longest_first))

    @cached_property
    def all_closes(self) -> tuple[str, ...]:
        """The closing texts of all frames that have one."""
        return tuple(dict.fromkeys(close for frame in self.frames for close in frame.facts.closes if close))

    @cached_property
    def unsampled(self) -> frozenset[str]:
        """The texts that a completion may lack at its end: the stop token, and what follows it."""
        found = {"", *self.stop_tokens, *self.closes}
        for close in self.closes:
            stop = max((token for token in self.stop_tokens if close.startswith(token)), key=len, default="")
            found.add(close[len(stop) :])
        return frozenset(found)

    @cached_property
    def reasoning(self) -> tuple[Pattern, ...]:
        """The patterns of a reasoning trace."""
        return tuple(map(compile_pattern, self.facts.reply.reasoning))

    @cached_property
    def content(self) -> tuple[Pattern, ...]:
        """The patterns of an answer; none if answers have no frame."""
        return tuple(map(compile_pattern, self.facts.reply.content))

    @cached_property
    def calls(self) -> SequencePattern | None:
        """The sequence of tool calls."""
        return SequencePattern(self.facts.reply.calls) if self.facts.reply.calls else None

    @cached_property
    def call_token(self) -> str | None:
        """The control token that opens a call; None if no control token does."""
        start = self.calls.starts[0] if self.calls else ""
        return min((token for token in self.control_tokens if token in start), key=start.index, default=None)


@lru_cache(maxsize=32)
def grammar_of(template: Template) -> Grammar:
    """Return the grammar of a template; raise `UsageError` if the template is not a family with a ``[parse]`` table."""
    family: Family | None = template.family
    if family is None or family.parse is None:
        raise UsageError(
            f"{template.name} has no grammar, so its texts cannot be parsed",
            hint="load a family whose family.toml has a [parse] table",
        )
    return Grammar(family.parse, family.generation.control_tokens, family.generation.stop_tokens)


def _longest_first(text: str) -> tuple[int, str]:
    """Return a sort key that also orders texts of equal length, since sets have no stable order."""
    return -len(text), text
