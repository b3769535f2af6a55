"""Conversation files: .jsonl as a stream, .json as one value, and errors with their position in the file."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from chattmpl import input_files
from chattmpl.conversation.json_text import JsonText
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.notes import ReadingNote
from chattmpl.conversation.shapes import read_conversation
from chattmpl.conversation.spellings import is_record
from chattmpl.conversation.validation_errors import FieldError, FieldPath
from chattmpl.errors import ConversationError, UsageError
from chattmpl.input_files import (
    LARGEST_VALUE,
    check_regular,
    check_values,
    matching_files,
    read_bytes,
    refuse_utf16,
    skip_line,
    too_long,
    unreadable,
)
from chattmpl.options import Arguments, Shape

Record = Callable[[], tuple[Conversation, tuple[ReadingNote, ...]]]
"""A record that is read when it is called: its conversation, and the notes on it. It raises `ConversationError`."""

_LINE_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (".json", *_LINE_SUFFIXES)


def find_conversation_files(pattern: str) -> list[Path]:
    """Return the files of a path, a folder or a glob pattern, sorted; in a folder, those with a suffix of JSON.

    Raises:
        UsageError: there are none.
    """
    path = Path(pattern)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    elif glob.has_magic(pattern):
        found = matching_files(pattern)
    else:
        found = [path] if path.exists() else []
    if not found:
        raise UsageError(f"no conversations found at {pattern}", hint="name .json or .jsonl files, or a folder of them")
    return found


def load_conversations(path: str | os.PathLike[str], *, shape: Shape | None = None) -> Iterator[Conversation]:
    """Yield the conversations of a file, one at a time, in a shape that is detected from their keys if it is None.

    A .jsonl (or .ndjson) file has one conversation per line and is read as a stream; blank lines are skipped. Any other
    file is one JSON value: a conversation, a list of messages, or a list of conversations. Files are UTF-8; a byte
    order mark is skipped.

    Raises:
        ConversationError: the file cannot be read, is empty, or contains a value that is not a conversation.
        UsageError: there is no shape of that name.
    """
    for record in records_of(path, shape=shape):
        yield record()[0]


def records_of(
    path: str | os.PathLike[str], *, shape: Shape | None = None, arguments: Arguments = "keep"
) -> Iterator[Record]:
    """Yield the records of a file, each to be read by a call; see `load_conversations` and `read_conversation`.

    Raises:
        ConversationError: the file cannot be read, or is empty.
    """
    name = os.fspath(path)
    reader = _Reader(shape, arguments)
    if name.endswith(_LINE_SUFFIXES):
        return _refuse_empty(_from_file(name, reader), name)
    return records_of_text(_decode(_read(name), name), name=name, shape=shape, arguments=arguments)


def load_conversation(path: str | os.PathLike[str]) -> Conversation:
    """Load the only conversation of a file; see :func:`load_conversations`.

    Raises:
        ConversationError: as there, or the file contains more than one conversation.
    """
    conversations = load_conversations(path)
    first = next(conversations)
    for _ in conversations:
        raise ConversationError(f"{os.fspath(path)} contains more than one conversation", hint="use load_conversations")
    return first


def records_of_text(
    text: str,
    *,
    name: str = "<string>",
    lines: bool = False,
    shape: Shape | None = None,
    arguments: Arguments = "keep",
) -> Iterator[Record]:
    """Yield the records of a JSON text, or of one value per line, each to be read by a call; see `read_conversation`.

    Raises:
        ConversationError: the text is empty.
    """
    reader = _Reader(shape, arguments)
    if lines:
        numbered = enumerate(text.split("\n"), 1)
        found = (partial(reader.read_line, line, name, number) for number, line in numbered if line.strip())
        yield from _refuse_empty(found, name)
        return
    if not text.strip():
        raise ConversationError(f"{name} is empty")
    source = JsonText(text, name)
    value = source.value()
    if not (isinstance(value, list) and value and is_record(value[0])):  # a list of messages is one conversation
        yield partial(reader.read, value, source, ())
        return
    for index, record in enumerate(value):
        yield partial(reader.read, record, source, (index,))


def _refuse_empty(records: Iterable[Record], name: str) -> Iterator[Record]:
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise ConversationError(f"{name} is empty")


@dataclass(frozen=True)
class _Reader:
    """Reader of the records of a text; errors point into the text."""

    shape: Shape | None
    arguments: Arguments

    def read_line(self, line: str | bytes, name: str, number: int) -> tuple[Conversation, tuple[ReadingNote, ...]]:
        """Read a line of a file."""
        if isinstance(line, bytes):
            line = _decode(line, name, number)
            check_values(line)
        source = JsonText(line.rstrip("\r\n"), name, number)
        return self.read(source.value(), source, ())

    def read(self, record: Any, source: JsonText, path: FieldPath) -> tuple[Conversation, tuple[ReadingNote, ...]]:
        """Read the record at a path of a text."""
        try:
            return read_conversation(record, self.shape, arguments=self.arguments)
        except FieldError as error:
            whole = path + error.path
            raise error.moved(whole, source.locate(whole, on_key=error.on_key)) from None
        except ConversationError as error:
            raise ConversationError(error.message, place=source.locate(path), hint=error.hint) from None


def _from_file(name: str, reader: _Reader) -> Iterator[Record]:
    """Yield the records of a file, one per line; only a newline ends a line."""
    try:
        check_regular(name, ConversationError)
        with Path(name).open("rb") as file:
            number = 0
            while line := file.readline(input_files.LONGEST_LINE + 1):
                number += 1
                if len(line) > input_files.LONGEST_LINE:
                    size = len(line) if line.endswith(b"\n") else skip_line(file, len(line), name, number)
                    yield partial(_refuse, name, number, size)
                elif line.removeprefix(codecs.BOM_UTF8).strip():
                    yield partial(reader.read_line, line, name, number)
    except OSError as error:
        raise unreadable(name, error, ConversationError) from None


def _refuse(name: str, number: int, size: int) -> NoReturn:
    error = too_long(size)
    raise ConversationError(f"{name}:{number}: {error.message}", hint=error.hint)


def _read(name: str) -> bytes:
    if name.endswith((".parquet", ".arrow")):
        raise ConversationError(
            f"{name} is not JSON", hint="pass it to a command that reads data files, such as chattmpl render"
        )
    return read_bytes(Path(name), ConversationError, LARGEST_VALUE)


def _decode(data: bytes, name: str, line: int = 1) -> str:
    """Decode UTF-8, dropping a byte order mark at the start of the file."""
    if line == 1:
        refuse_utf16(data, name)
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Each invalid byte becomes one replacement character, so the first one is where the valid text ends.
        start = len(data[: error.start].decode("utf-8"))
        text = JsonText(data.decode("utf-8", errors="replace").rstrip("\r\n"), name, line)
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ConversationError(problem, place=text.place(start), hint="save the file as UTF-8") from None
