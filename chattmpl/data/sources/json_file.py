"""Files that are one JSON value: a conversation, or a list of them, which is read element by element."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from chattmpl.conversation.json_text import JsonText
from chattmpl.data.sources.chunk import DataFile, Piece, RawRow
from chattmpl.data.sources.json_row import parse
from chattmpl.errors import ChatTmplError, ConversationError

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_RECORD_KEYS = ("messages", "conversations", "instruction", "prompt")


class _Window:
    """The part of a text that was read and not yet used up, which grows when more is needed."""

    def __init__(self, stream: io.TextIOBase, name: str, size: int, line: int = 1) -> None:
        self.stream, self.name, self.size = stream, name, size
        self.text, self.at, self.line, self.ended = "", 0, line, False

    def more(self) -> bool:
        """Reads on, and says whether there was more."""
        read = self.stream.read(max(self.size, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + read, 0
        self.ended = not read
        return bool(read)

    def take(self, end: int) -> str:
        """Uses up the text up to an offset."""
        taken = self.text[self.at : end]
        self.at = end
        self.line += taken.count("\n")
        return taken

    def skip(self) -> str:
        """Uses up white space, and whatever of it is read on."""
        taken = ""
        while True:
            found = _SPACE.match(self.text, self.at)
            taken += self.take(found.end() if found else self.at)
            if self.at < len(self.text) or not self.more():
                return taken

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def element(self) -> tuple[str, Any]:
        """The text of the value that starts here, and the value.

        Raises:
            ConversationError: it is not JSON, or ends too early.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError):
                if self.more():
                    continue
                JsonText(self.text[self.at :], self.name, self.line).value()
                raise ConversationError(f"{self.name}: not JSON", hint="the text ends too early") from None
            # A number may go on in what is not read yet.
            if end == len(self.text) and not self.ended and self.more():
                continue
            return self.take(end), value


def pieces(stream: io.BufferedReader, file: DataFile, size: int, limit: int | None) -> Iterator[Piece]:
    """The pieces of a file: some elements of its list each, with the commas between them; else its one value.

    Raises:
        ConversationError: the file is not JSON.
    """
    window = _Window(io.TextIOWrapper(stream, encoding="utf-8", newline=""), file.path, size)
    try:
        yield from _pieces(window, size, limit)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ConversationError(f"{file.path}: byte 0x{byte:02x} is not UTF-8", hint="save the file as UTF-8") from None
    finally:
        window.stream.detach()


def _pieces(window: _Window, size: int, limit: int | None) -> Iterator[Piece]:
    window.more()
    start = len(window.take(1).encode()) if window.text.startswith("\ufeff") else 0
    start += len(window.skip().encode())
    if not window.peek():
        return
    if window.peek() != "[" or not _lists_records(window):
        line = window.line
        text, _ = window.element()
        length = len(text.encode())
        yield Piece(start, length, 0, 1, line, length, whole=True)
        window.skip()
        if window.peek():
            JsonText(text + " " + window.text[window.at :], window.name, line).value()
        return
    start += len(window.take(window.at + 1).encode())
    yield from _elements(window, start, size, limit)


def _lists_records(window: _Window) -> bool:
    """Whether the list that starts here holds conversations; a list of messages or of turns is one conversation."""
    while True:
        # Only its head is looked at, for the first element alone may be long.
        head = window.text[window.at + 1 :].lstrip()
        if head.startswith("["):
            return True
        if head and not head.startswith("{"):
            return False
        try:
            first = _DECODER.raw_decode(head)[0]
            return any(key in first for key in _RECORD_KEYS)
        except ValueError:
            at = window.at
            window.at = 0
            grew = window.more()
            window.at = at
            if not grew:
                return False


def _elements(window: _Window, start: int, size: int, limit: int | None) -> Iterator[Piece]:
    first = count = length = 0
    start += len(window.skip().encode())
    line = window.line
    while window.peek() not in ("]", ""):
        length += len(window.element()[0].encode())
        count += 1
        between = window.skip()
        if window.peek() == ",":
            between += window.take(window.at + 1) + window.skip()
            if window.peek() == "]":
                JsonText("[" + window.text[max(window.at - 2, 0) :], window.name, window.line).value()
        elif window.peek() != "]":
            break
        if length >= size or (limit is not None and first + count >= limit):
            yield Piece(start, length, first, count, line, length)
            if limit is not None and first + count >= limit:
                return
            start += length + len(between.encode())
            first, count, length, line = first + count, 0, 0, window.line
        else:
            length += len(between.encode())
    if window.peek() != "]":
        raise ConversationError(
            f"{window.name}:{window.line}: not JSON: the list is not closed", hint="the file was cut, or a comma misses"
        )
    if count:
        yield Piece(start, length, first, count, line, length)


def rows(data: bytes, piece: Piece, file: DataFile) -> Iterator[RawRow]:
    """The rows of a piece, from its bytes."""
    text = data.decode("utf-8")
    if piece.whole:
        yield _row(text, piece.first, piece.line, file.path)
        return
    window = _Window(io.StringIO(text), file.path, len(text), piece.line)
    window.more()
    for index in range(piece.first, piece.first + piece.rows):
        line = window.line
        yield _row(window.element()[0], index, line, file.path)
        window.skip()
        if window.peek() == ",":
            window.take(window.at + 1)
            window.skip()


def _row(text: str, index: int, line: int, name: str) -> RawRow:
    try:
        return RawRow(index, line, parse(text, name, line))
    except ChatTmplError as error:
        return RawRow(index, line, None, error, text.encode())
