"""JSON text with positions: strict parsing, and the character range of the value at a path."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from chattmpl.conversation.validation_errors import FieldPath
from chattmpl.errors import ConversationError
from chattmpl.input_files import DEEPEST, is_too_deep
from chattmpl.source import Place, Source

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _InvalidValue(ValueError):
    """A key or a number that Python's parser accepts; raised from its hooks, which do not know the position."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _InvalidValue("duplicate")
    return made


def _constant(name: str) -> NoReturn:
    raise _InvalidValue(name)


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _InvalidValue(text)
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _InvalidValue("digits") from None


_HOOKS: dict[str, Any] = {
    "object_pairs_hook": _object, "parse_constant": _constant, "parse_float": _float, "parse_int": _integer,
}  # fmt: skip

STRICT = json.JSONDecoder(**_HOOKS)
"""A decoder that raises ``ValueError`` also for a repeated key, NaN, an infinity and a number that is too long."""


@dataclass(frozen=True)
class JsonEntry:
    """A value in a JSON text: its path, the character range of its key (None in a list) and its own range."""

    path: FieldPath
    key: tuple[int, int] | None
    value: tuple[int, int]


@dataclass(frozen=True)
class JsonText:
    """A JSON value as text, which may be one line of a longer file.

    Args:
        text: the JSON, without the lines before it.
        name: the name of the file.
        line: the line of the file at which the text starts, from 1.
    """

    text: str
    name: str = "<string>"
    line: int = 1

    def place(self, start: int, end: int | None = None) -> Place:
        """Return the place of a character range of the text; one character if ``end`` is None."""
        # Empty lines replace the earlier ones, which a stream does not keep; only line numbers and excerpts are shown.
        before = "\n" * (self.line - 1)
        source = Source(before + self.text, self.name)
        return Place(source, len(before) + start, len(before) + (start + 1 if end is None else end))

    def value(self) -> Any:
        """Parse the text.

        Raises:
            ConversationError: the text is not JSON, repeats a key in one object (only one value would survive), or
                contains NaN, an infinity or half of a surrogate pair, which JSON does not allow.
        """
        try:
            value = json.loads(self.text, **_HOOKS)
        except json.JSONDecodeError as error:
            raise self._syntax_error(error) from None
        except _InvalidValue as error:
            raise self._invalid_value(str(error)) from None
        except RecursionError:
            raise self._too_deep() from None
        if is_too_deep(self.text, value):
            raise self._too_deep()
        if _SURROGATE_ESCAPE.search(self.text):
            self._check_surrogates()
        return value

    def locate(self, path: FieldPath, *, on_key: bool = False) -> Place:
        """Return the place of the value (or the key) at a path, or of the innermost value around it that exists."""
        found = JsonEntry((), None, (0, len(self.text.rstrip())))
        for entry in self.entries():
            if entry.path == path[: len(entry.path)] and len(entry.path) >= len(found.path):
                found = entry
        if on_key and found.key is not None and found.path == path:
            return self.place(*found.key)
        return self.place(*self._first_line(found.value))

    def entries(self) -> Iterator[JsonEntry]:
        """Yield all values of the text, each after its children, up to the first syntax error."""
        try:
            yield from _walk(self.text, _SPACE.match(self.text, 0).end(), (), None)  # type: ignore[union-attr]
        except (ValueError, IndexError, RecursionError):
            return

    def _first_line(self, span: tuple[int, int]) -> tuple[int, int]:
        """Cut a range at the end of its first line."""
        newline = self.text.find("\n", *span)
        return span if newline < 0 else (span[0], newline)

    def _syntax_error(self, error: json.JSONDecodeError) -> ConversationError:
        position = min(error.pos, max(len(self.text) - 1, 0))
        rest = self.text[position : position + 8]
        before = self.text[:position].rstrip()
        hint = None
        if error.msg == "Extra data":
            hint = "name a file with one JSON value per line .jsonl"
        elif rest.startswith(("'", "None", "True", "False")):
            hint = "this looks like Python; JSON uses double quotes, null, true and false"
        elif rest.startswith(("}", "]")) and before.endswith(","):
            hint = "remove the comma before the closing bracket"
        elif rest.startswith(("//", "/*", "#")):
            hint = "JSON has no comments"
        elif not self.text[position:].strip() or position >= len(self.text) - 1:
            hint = (
                "the text ends too early; a .jsonl file has one value on each line, a .json file one over several lines"
            )
        problem = error.msg[:1].lower() + error.msg[1:]
        return ConversationError(f"not JSON: {problem}", place=self.place(position), hint=hint)

    def _invalid_value(self, what: str) -> ConversationError:
        if what == "duplicate":
            seen: set[FieldPath] = set()
            for entry in self.entries():
                if entry.key is not None and entry.path in seen:
                    problem = f"duplicate key {entry.path[-1]!r} in one object"
                    return ConversationError(problem, place=self.place(*entry.key), hint="remove or rename one of them")
                seen.add(entry.path)
        if what == "digits":
            limit = sys.get_int_max_str_digits()
            long = re.search(rf"[0-9]{{{limit + 1}}}", self.text)
            place = self.place(long.start() if long else 0)
            return ConversationError(f"a number with more than {limit:,} digits", place=place, hint="write a string")
        for entry in self.entries():
            if self.text[slice(*entry.value)] == what:
                place = self.place(*entry.value)
                return ConversationError(f"{what} is not a JSON number", place=place, hint="use null, or a string")
        return ConversationError(f"not JSON: {what}", place=self.place(0))

    def _too_deep(self) -> ConversationError:
        return ConversationError(f"the JSON is nested more than {DEEPEST} levels deep", place=self.place(0))

    def _check_surrogates(self) -> None:
        for entry in self.entries():
            for start, end in filter(None, (entry.key, entry.value)):
                if self.text[start] == '"' and _LONE_SURROGATE.search(_string(self.text, start)[0]):
                    raise ConversationError(
                        "half of a surrogate pair, which is not a character",
                        place=self.place(start, end),
                        hint="the text was probably cut in the middle of an emoji",
                    )


def _walk(text: str, start: int, path: FieldPath, key: tuple[int, int] | None) -> Iterator[JsonEntry]:
    """Yield the entries of the value that starts at an offset; the last one is the value itself."""
    opening = text[start]
    end = start
    if opening in "{[":
        at = _skip(text, start + 1)
        index = 0
        while text[at] not in "}]":
            inner: tuple[int, int] | None = None
            step: str | int = index
            if opening == "{":
                step, after = _string(text, at)
                inner = (at, after)
                at = _skip(text, _skip(text, after) + 1)
            for entry in _walk(text, at, (*path, step), inner):
                yield entry
                end = entry.value[1]
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
            index += 1
        end = at + 1
    elif opening == '"':
        end = _string(text, start)[1]
    else:
        end = _SCALAR.match(text, start).end()  # type: ignore[union-attr]
    yield JsonEntry(path, key, (start, end))


def _string(text: str, start: int) -> tuple[str, int]:
    """Return the string that starts at a quotation mark, and the offset after it."""
    string, end = _DECODER.raw_decode(text, start)
    return str(string), end


def _skip(text: str, start: int) -> int:
    return _SPACE.match(text, start).end()  # type: ignore[union-attr]
