"""Rows in .jsonl and .json files.

Values are parsed as strictly as by `JsonText`, which reports errors well. Valid rows are parsed
faster: lines by orjson, many at once, and other values by the standard library.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn

from chattmpl import input_files
from chattmpl.conversation.json_text import JsonText
from chattmpl.conversation.spellings import is_record
from chattmpl.data.sources.chunks import Chunk, DataFile, RawRow
from chattmpl.errors import ConversationError
from chattmpl.input_files import MOST_VALUES, check_skipped, check_values, is_too_deep, refuse_utf16, skip_line

try:
    import numpy as np
    import orjson
except ImportError:  # the strict parser reads all rows
    orjson = None

# -- one value


class _UnusualError(ValueError):
    """A value that the strict parser has to read."""


def _unusual(text: str) -> NoReturn:
    raise _UnusualError(text)


_loads = json.JSONDecoder(parse_constant=_unusual).decode
_dumps = json.JSONEncoder(allow_nan=False, check_circular=False).encode
_has_spaced_colon = re.compile(r'"\s+:').search


def parse_value(text: str, name: str, line: int) -> Any:
    """Parse a JSON text that starts at a line of a file, from 1; for errors see `JsonText.value`."""
    check_values(text)
    try:
        value = _loads(text)
        written = _dumps(value)
    except (ValueError, RecursionError, TypeError):  # invalid, nested deeply, or with an infinite number
        return JsonText(text, name, line).value()
    half = "\\u" in text and ("\\ud" in text or "\\uD" in text)
    if half or is_too_deep(text, value) or (written != text and _may_repeat_keys(text, written)):
        return JsonText(text, name, line).value()
    return value


def _may_repeat_keys(text: str, written: str) -> bool:
    """Return true if an object in a text may contain a key twice; ``written`` is the value of the text, written again.

    Each key ends with a quotation mark and a colon, and inside a string a quotation mark follows a backslash, so fewer
    colons after the value is written again mean that a key was lost. Space before a colon, and keys that end with a
    backslash, would be counted wrongly.
    """
    return _colons(text) != _colons(written) or '\\\\":' in text or _has_spaced_colon(text) is not None


def _colons(text: str) -> int:
    return text.count('":') - text.count('\\":')


# -- many lines

UNPARSED = object()
"""Placeholder for a value that the strict parser has to read."""

_QUOTE, _COLON, _BACKSLASH, _ZERO = b'":\\0'
_DIGITS = 19
"""Number of digits of the longest 64-bit integer."""
_long_number = re.compile(rb"[0-9]{%d}" % _DIGITS).search


def parse_lines(lines: Sequence[bytes]) -> list[Any]:
    """Parse lines with orjson; return the value of each, or `UNPARSED`.

    orjson rejects what the strict parser rejects, with two exceptions: of a key that occurs twice in an object it keeps
    the last value, and it makes floats of integers with more than 64 bits. Lines that may contain either are left to
    the strict parser.
    """
    if orjson is None:
        return [UNPARSED] * len(lines)
    found: list[Any] = []
    for line in lines:
        try:
            check_values(line)
            found.append(orjson.loads(line))
        except (ValueError, ConversationError):
            found.append(UNPARSED)
    read = [(line, value) for line, value in zip(lines, found, strict=True) if value is not UNPARSED]
    try:
        written = orjson.dumps([value for _, value in read])
    except TypeError:  # nested more deeply than it writes
        written = None
    if not read or (written is not None and _is_lossless(b"".join([line for line, _ in read]), written)):
        return found
    if len(lines) == 1:
        return [UNPARSED]
    return [parse_lines([line])[0] for line in lines]


def _is_lossless(text: bytes, written: bytes) -> bool:
    """Return true if no key was lost and no number changed between a text and its values written again.

    Keys are counted as in `_may_repeat_keys`.
    """
    given = _keys(text)
    return given >= 0 and given == _keys(written) and not _may_space_colons(text) and not _has_long_number(text)


def _keys(text: bytes) -> int:
    """Return the number of keys in a text; -1 if it is not certain."""
    array = np.frombuffer(text, dtype=np.uint8)
    ends = (array[:-1] == _QUOTE) & (array[1:] == _COLON)
    escaped = ends[1:] & (array[:-2] == _BACKSLASH)
    count = int(np.count_nonzero(escaped))
    return -1 if count and (escaped[1:] & (array[:-3] == _BACKSLASH)).any() else int(np.count_nonzero(ends)) - count


def _may_space_colons(text: bytes) -> bool:
    array = np.frombuffer(text, dtype=np.uint8)
    return bool(((array[:-1] <= 32) & (array[1:] == _COLON)).any()) and re.search(rb'"\s+:', text) is not None


def _has_long_number(text: bytes) -> bool:
    step = _DIGITS // 2
    digits = np.frombuffer(text, dtype=np.uint8)[::step] - np.uint8(_ZERO) < 10
    places = np.flatnonzero(digits[1:] & digits[:-1]) * step
    return any(_long_number(text, max(0, place - _DIGITS), place + 2 * _DIGITS) for place in places.tolist())


# -- .jsonl

_GROUP = 32
"""Number of lines parsed together; small, so that their values are still in the processor's cache when used."""


def jsonl_chunks(stream: io.BufferedReader, file: DataFile, size: int, limit: int | None) -> Iterator[Chunk]:
    """Yield the chunks of a file: whole lines, about ``size`` bytes each; blank lines are not rows.

    Raises:
        ConversationError: the file is UTF-16 or indented JSON, or a line does not end.
    """
    start, first, line = 0, 0, 1
    while block := stream.read(size):
        skipped = 0
        if not block.endswith(b"\n"):
            cut = block.rfind(b"\n") + 1
            rest = stream.readline(input_files.LONGEST_LINE)
            if len(block) - cut + len(rest) <= input_files.LONGEST_LINE:
                block += rest
            else:
                skipped, block = len(block) - cut + len(rest), block[:cut]
                if not rest.endswith(b"\n"):
                    skipped = skip_line(stream, skipped, file.path, line + block.count(b"\n"))
        if not start:
            refuse_utf16(block, file.path)
        if not start and block.partition(b"\n")[0].strip() in (b"[", b"{"):
            hint = "a .jsonl file has one row on each line; give a file with one list or object the suffix .json"
            raise ConversationError(f"{file.path} begins with JSON over several lines", hint=hint)
        if block:
            rows = sum(1 for row in block.split(b"\n") if row and not row.isspace())
            yield Chunk(start, len(block), first, rows, line, len(block))
            start, first, line = start + len(block), first + rows, line + block.count(b"\n")
        if skipped and (limit is None or first < limit):
            yield Chunk(start, skipped, first, 1, line, size, too_long=True)
            start, first, line = start + skipped, first + 1, line + 1
        if limit is not None and first >= limit:
            return


def jsonl_rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a chunk from its bytes."""
    index = chunk.first
    lines = enumerate(io.BytesIO(data), chunk.line)
    while numbered := list(islice(lines, _GROUP)):
        some = [(number, line) for number, line in numbered if not line.isspace()]
        try:
            values = parse_lines([line for _, line in some])
        except Exception:  # the strict parser finds the line that causes it
            values = [UNPARSED] * len(some)
        for (number, line), value in zip(some, values, strict=True):
            yield _line_row(line, index, number, file.path) if value is UNPARSED else RawRow(index, number, value)
            index += 1


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> ConversationError:
    problem = f"byte 0x{data[error.start]:02x} at column {error.start + 1} is not UTF-8"
    return ConversationError(problem, hint="save the file as UTF-8")


def _line_row(line: bytes, index: int, number: int, name: str) -> RawRow:
    bare = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    try:
        text = bare.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return RawRow(index, number, None, _not_utf8(bare, error), line)
    return _parsed_row(text, index, number, name, line)


def _parsed_row(text: str, index: int, line: int, name: str, data: bytes) -> RawRow:
    try:
        return RawRow(index, line, parse_value(text, name, line))
    except Exception as error:  # of this row, whatever it is
        return RawRow(index, line, None, error, data)


# -- .json


def _integer(digits: str) -> int:
    """Return a number, or 0 for one that Python does not convert; the row that it is in is parsed again."""
    try:
        return int(digits)
    except ValueError:
        return 0


_DECODER = json.JSONDecoder(parse_int=_integer)
_MARK = re.compile(r"""[\[{]|([\]}])|(")""")
_LEAVES = re.compile(r"""(?:[^\[\]{}"]*+[\[{][^\[\]{}"]*+[\]}])++""")
"""Objects and lists that contain neither others nor strings, with what is before each."""
_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*+', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_WORD = len("-Infinity")


class _TooLongError(Exception):
    """A value that is too long to be read, and was skipped; its argument is the number of its bytes."""


class _Value:
    """A JSON value, read in parts to find its end; it may be nested deeply, or be invalid."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = False

    def end(self, part: str, at: int) -> int:
        """Return the end of the value if it is in a part, from an offset; -1 if it is not."""
        while True:
            if self._in_string:
                found = _STRING.match(part, at + self._escaped)
                at = found.end() if found else len(part)
                self._escaped = part[at:] == "\\"
                if at == len(part) or self._escaped:
                    return -1
                self._in_string = False
                at += 1
            elif self._depth and (found := _LEAVES.match(part, at)):
                at = found.end()
            elif (found := _MARK.search(part, at)) is None:
                return -1
            else:
                self._in_string = found[2] is not None
                self._depth += 0 if self._in_string else -1 if found[1] else 1
                at = found.end()
            if not (self._depth or self._in_string):
                return at


class _Window:
    """The part of a text that was read and not yet consumed; it grows when more is needed."""

    def __init__(self, stream: io.TextIOBase, name: str, size: int, line: int = 1) -> None:
        self.stream, self.name, self.size = stream, name, size
        self.text, self.at, self.line, self.ended = "", 0, line, False

    def more(self) -> bool:
        """Read more; return true if there was more."""
        read = self.stream.read(max(self.size, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + read, 0
        self.ended = not read
        return bool(read)

    def take(self, end: int) -> str:
        """Consume the text up to an offset."""
        taken = self.text[self.at : end]
        self.at = end
        self.line += taken.count("\n")
        return taken

    def skip(self) -> int:
        """Consume white space; return its length."""
        length = 0
        while True:
            found = _SPACE.match(self.text, self.at)
            length += len(self.take(found.end() if found else self.at))
            if self.at < len(self.text) or not self.more():
                return length

    def peek(self) -> str:
        """Return the next character; an empty string at the end."""
        return self.text[self.at : self.at + 1]

    def element(self) -> str:
        """Consume the value that starts here, and return its text; if it is long or deep, it may be invalid inside.

        Raises:
            ConversationError: it is not JSON, or incomplete.
            _TooLongError: it is longer than `LONGEST_LINE`.
        """
        value, scanned = _Value(), -1
        while True:
            end = -1
            if scanned < 0:
                try:
                    end = _DECODER.raw_decode(self.text, self.at)[1]
                except RecursionError:
                    scanned = self.at
                except ValueError:
                    if self.peek() not in '[{"' and len(self.text) - self.at > _LONGEST_WORD:
                        break
                    is_long = len(self.text) - self.at > min(2 * MOST_VALUES, input_files.LONGEST_LINE)
                    scanned = self.at if self.ended or is_long else -1
            if scanned >= 0:
                end = value.end(self.text, scanned)
            # A number may continue in the part that is not read yet.
            if end < 0 or (end == len(self.text) and not self.ended):
                if len(self.text) - self.at > input_files.LONGEST_LINE:
                    raise _TooLongError(self._skip(value))
                scanned = len(self.text) - self.at if scanned >= 0 else -1
                if self.more() or scanned < 0:
                    continue
            if end < 0:
                break
            text = self.take(end)
            if len(text) > input_files.LONGEST_LINE:
                raise _TooLongError(len(_bytes(text)))
            return text
        JsonText(self.text[self.at :], self.name, self.line).value()
        raise ConversationError(f"{self.name}: not JSON", hint="the text is incomplete")

    def _skip(self, value: _Value) -> int:
        """Consume the rest of a value in bounded memory; return the number of its bytes."""
        end, length, line = -1, 0, self.line
        while end < 0:
            length += len(_bytes(self.take(len(self.text))))
            check_skipped(length, self.name, line)
            if not self.more():
                return length
            end = value.end(self.text, 0)
        return length + len(_bytes(self.take(end)))


def json_chunks(stream: io.BufferedReader, file: DataFile, size: int, limit: int | None) -> Iterator[Chunk]:
    """Yield the chunks of a file: elements of its list with the commas between them, or its one value.

    Raises:
        ConversationError: the file is not JSON.
    """
    # A byte that is not UTF-8 is rejected with the row that it is in.
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    window = _Window(text, file.path, size)
    try:
        yield from _window_chunks(window, size, limit)
    finally:
        window.stream.detach()


def _window_chunks(window: _Window, size: int, limit: int | None) -> Iterator[Chunk]:
    window.more()
    start = len(window.take(1).encode()) if window.text.startswith("\ufeff") else 0
    start += window.skip()
    if not window.peek():
        return
    if window.peek() != "[" or not _lists_records(window):
        line, text = window.line, "0"
        try:
            text = window.element()
            yield Chunk(start, len(_bytes(text)), 0, 1, line, len(text), whole=True)
        except _TooLongError as error:
            yield Chunk(start, error.args[0], 0, 1, line, size, too_long=True)
        window.skip()
        if window.peek():
            JsonText(text + " " + window.text[window.at :], window.name, line).value()
        return
    start += len(window.take(window.at + 1).encode())
    yield from _elements(window, start, size, limit)


def _lists_records(window: _Window) -> bool:
    """Return true for a list of conversations, false for a list of messages or turns, which is one conversation."""
    while True:
        # Only its beginning is examined, since the first element alone may be long.
        head = window.text[window.at + 1 :].lstrip()
        if head.startswith("["):
            return True
        if head and not head.startswith("{"):
            return False
        try:
            first = _DECODER.raw_decode(head)[0]
            return is_record(first)
        except ValueError:
            if len(window.text) > input_files.LONGEST_LINE:  # no message is that long
                return True
            at = window.at
            window.at = 0
            grew = window.more()
            window.at = at
            if not grew:
                return False


def _elements(window: _Window, start: int, size: int, limit: int | None) -> Iterator[Chunk]:
    first = count = length = 0
    start += window.skip()
    line = window.line
    while window.peek() not in ("]", ""):
        skipped, here = 0, window.line
        try:
            length += len(_bytes(window.element()))
        except _TooLongError as error:
            skipped = error.args[0]
            if count:
                yield Chunk(start, length, first, count, line, length)
            start, first, count, length, line = start + length, first + count, 0, skipped, here
        count += 1
        between = window.skip()
        if window.peek() == ",":
            between += len(window.take(window.at + 1)) + window.skip()
            if window.peek() == "]":
                JsonText("[" + window.text[max(window.at - 2, 0) :], window.name, window.line).value()
        elif window.peek() != "]":
            break
        if skipped or length + between >= size or (limit is not None and first + count >= limit):
            yield Chunk(start, length, first, count, line, min(length, size), too_long=bool(skipped))
            if limit is not None and first + count >= limit:
                return
            start += length + between
            first, count, length, line = first + count, 0, 0, window.line
        else:
            length += between
    if window.peek() != "]":
        raise ConversationError(
            f"{window.name}:{window.line}: not JSON: the list is not closed",
            hint="the file is truncated, or a comma is missing",
        )
    if count:
        yield Chunk(start, length, first, count, line, length)


def json_rows(data: bytes, chunk: Chunk, file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a chunk from its bytes."""
    text = data.decode("utf-8", "surrogateescape")
    if chunk.whole:
        yield _text_row(text, chunk.first, chunk.line, file.path)
        return
    window = _Window(io.StringIO(text), file.path, MOST_VALUES, chunk.line)
    window.more()
    for index in range(chunk.first, chunk.first + chunk.rows):
        line = window.line
        yield _text_row(window.element(), index, line, file.path)
        window.skip()
        if window.peek() == ",":
            window.take(window.at + 1)
            window.skip()


def _text_row(text: str, index: int, line: int, name: str) -> RawRow:
    data = _bytes(text)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return RawRow(index, line, None, _not_utf8(data, error), data)
    return _parsed_row(text, index, line, name, data)


def _bytes(text: str) -> bytes:
    """Return the bytes of a text of a .json file, in which bytes that are not UTF-8 are lone surrogates."""
    return text.encode("utf-8", "surrogateescape")
