"""Input files: found without following links in circles, read only if they are regular, and parsed within bounds."""

import codecs
import glob
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from chattmpl.errors import ChatTmplError, ConversationError, UsageError, decode, did_you_mean

LARGEST = 64 << 20
"""Maximum size of a configuration in JSON, in bytes; the added tokens of a tokenizer's config take a few MiB."""

LARGEST_TEXT = 1 << 30
"""Maximum size of a file that is read as a whole, in bytes."""

LARGEST_VALUE = 16 << 20
"""Maximum size of a file with conversations that is read as one JSON value, in bytes."""

LARGEST_SETTINGS = 1 << 20
"""Maximum size of a configuration in TOML or YAML, in bytes."""

LONGEST_LINE = 64 << 20
"""Maximum length of a row in bytes; a small compressed file can hold one of any length."""

MOST_VALUES = 1 << 20
"""Maximum number of values of a row in JSON; the memory of each is many times its length."""

LONGEST_SKIPPED = 4 << 30
"""Maximum length in bytes of a row that is skipped since it is too long; a longer one ends the file."""

_BLOCK = 1 << 20
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*+"', re.DOTALL)

DEEPEST = 254
"""Maximum depth of objects and lists in JSON; that of orjson."""

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

Error = type[ChatTmplError]


# -- finding and opening


def matching_files(pattern: str) -> list[Path]:
    """Return the files and folders that match a glob pattern, sorted. Neither ``**`` nor ``*`` finds hidden ones.

    ``**`` enters no folder that is a link, so links in circles end, and no file is found twice.
    """
    path = Path(pattern)
    hidden = {part for part in path.parts if part.startswith(".")}
    relative = str(path.relative_to(path.anchor))

    def is_hidden(found: Path) -> bool:
        return any(part.startswith(".") and part not in hidden for part in found.parts if part != "..")

    asks_hidden = any(part.startswith(".") and glob.has_magic(part) for part in path.parts)
    return sorted(found for found in Path(path.anchor).glob(relative) if asks_hidden or not is_hidden(found))


def check_regular(path: str | os.PathLike[str], error: Error = UsageError, limit: int | None = None) -> None:
    """Check that a path is not a pipe, a device, a socket or a folder, which may block or never end.

    With ``limit``, also that it has at most this number of bytes.

    Raises:
        ChatTmplError: of the given class, if it is.
        OSError: there is nothing at the path.
    """
    status = Path(path).stat()
    kind = next((name for test, name in _KINDS if test(status.st_mode)), None)
    if kind is not None:
        raise error(f"{os.fspath(path)} is {kind}, not a file", hint="name a file; write what it yields to one first")
    if limit is not None:
        check_size(path, status.st_size, limit, error)


def check_size(name: object, size: int, limit: int, error: Error = UsageError) -> None:
    """Raise an error of the given class if an input has more than a number of bytes."""
    if size > limit:
        is_data = limit in (LARGEST_VALUE, LARGEST_TEXT)
        hint = "write one row per line, as .jsonl" if is_data else "this file is not what it should be"
        raise error(f"{name} is larger than {limit >> 20:,} MiB", hint=hint)


def unreadable(name: object, problem: Exception, error: Error = UsageError) -> ChatTmplError:
    """Return the error for a file that cannot be read, with a similar name in its folder as a hint."""
    hint, path = None, Path(str(name))
    if isinstance(problem, FileNotFoundError) and path.parent.is_dir():
        hint = did_you_mean(path.name, [file.name for file in path.parent.iterdir()])
    reason = getattr(problem, "strerror", None) or str(problem)
    return error(f"cannot read {name}: {reason.lower()}", hint=hint)


def read_bytes(path: Path, error: Error = UsageError, limit: int = LARGEST_TEXT) -> bytes:
    """Return the contents of a regular file.

    Raises:
        ChatTmplError: of the given class, if it cannot be read, or has more than ``limit`` bytes.
    """
    try:
        check_regular(path, error, limit)
        return path.read_bytes()
    except (OSError, ValueError) as problem:
        raise unreadable(path, problem, error) from None


def refuse_utf16(data: bytes, name: object, error: Error = ConversationError) -> None:
    """Raise an error of the given class if a file begins as one in UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise error(f"{name} is UTF-16", hint="save it as UTF-8")


def read_config_text(path: Path, error: Error = UsageError, limit: int = LARGEST) -> str:
    """Return the text of a configuration file, without a byte order mark.

    Raises:
        ChatTmplError: of the given class, if it cannot be read, is too large or not UTF-8.
    """
    data = read_bytes(path, error, limit)
    refuse_utf16(data, path, error)
    return decode(data.removeprefix(codecs.BOM_UTF8), path, error)


# -- rows that are too long


def too_long(size: int) -> ConversationError:
    """Return the error of a row of a number of bytes that is too long to be read."""
    return ConversationError(
        f"the row is longer than {LONGEST_LINE >> 20} MiB: {size:,} bytes", hint="split the row, or remove it"
    )


def too_many_values() -> ConversationError:
    """Return the error of a row with more than `MOST_VALUES` values."""
    return ConversationError(f"the row has more than {MOST_VALUES:,} values", hint="split the row, or remove it")


def check_values(data: str | bytes) -> None:
    """Raise `ConversationError` if a row in JSON has more than `MOST_VALUES` values."""
    if len(data) > 2 * MOST_VALUES:  # each takes two characters
        text = data.decode("latin-1") if isinstance(data, bytes) else data
        if _values(text) > MOST_VALUES and _values(_STRING.sub("", text)) > MOST_VALUES:
            raise too_many_values()


def _values(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def check_skipped(size: int, name: object, line: int) -> None:
    """Raise `ConversationError` if a row that is skipped, and starts at a line of a file, does not seem to end."""
    if size > LONGEST_SKIPPED:
        problem = f"{name}:{line}: the row is longer than {LONGEST_SKIPPED >> 20:,} MiB"
        raise ConversationError(problem, hint="the rows after it are not read; split the file, or remove the row")


def skip_line(stream: IO[bytes], size: int, name: object, line: int) -> int:
    """Skip the rest of a line in bounded memory, and return its length in bytes.

    Args:
        stream: a reader of the file.
        size: number of bytes of the line that were read.
        name: the file, for errors.
        line: number of the line, from 1.

    Raises:
        ConversationError: the line is longer than `LONGEST_SKIPPED`.
    """
    part = b""
    while not part.endswith(b"\n") and (part := stream.readline(_BLOCK)):
        size += len(part)
        check_skipped(size, name, line)
    return size


# -- parsing


def is_too_deep(text: str, value: Any) -> bool:
    """Return whether a value is nested more deeply than its readers can follow; ``text`` is its JSON."""
    return text.count("[") + text.count("{") > DEEPEST and _is_deep(value)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return False
    return True


def parse_json(text: str, name: object, error: Error = UsageError) -> Any:
    """Parse a JSON text.

    Args:
        text: the text.
        name: its file, for errors.
        error: the class of errors.

    Raises:
        ChatTmplError: of the given class, if it is not JSON, or is nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep(name, error) from None
    except ValueError as problem:
        raise error(f"{name} is not JSON: {problem}") from None
    if is_too_deep(text, value):
        raise _too_deep(name, error)
    return value


def _too_deep(name: object, error: Error) -> ChatTmplError:
    return error(f"{name} is nested more than {DEEPEST} levels deep", hint="this file is not what it should be")


def read_json(path: Path, error: Error = UsageError) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ChatTmplError: of the given class, if the file cannot be read, or holds something else.
    """
    value = parse_json(read_config_text(path, error), path, error)
    if not isinstance(value, dict):
        raise error(f"{path} is not a JSON object")
    return value


def parse_toml(text: str, name: object, error: Error = UsageError) -> dict[str, Any]:
    """Parse a TOML text.

    Raises:
        TOMLDecodeError: it is not TOML.
        ChatTmplError: of the given class, if it is nested too deeply, or has a number that Python does not convert.
    """
    import tomllib

    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise _too_deep(name, error) from None
    except ValueError as problem:
        raise error(f"{name} is not TOML: {problem}") from None
    if _is_deep(value):
        raise _too_deep(name, error)
    return value
