"""Snapshots of renderings: files that people read when they change, with every character in them.

A snapshot has a line for each line of the rendering. In the margin ``▌`` marks generated text. At the end ``↵`` stands
for the newline and ``¬`` for none: there the text ends, or generated text begins or ends in the middle of a line. So
spaces at the end of a line are safe from editors. What nobody would see, and the backslash, is written as in a Python
string.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from chattmpl.template.template import Rendering

FOLDER = "__chattmpl__"
SUFFIX = ".txt"
REFUSED = "refused: "

_MARGIN = {True: "▌ ", False: "  "}
_NEWLINE, _NO_NEWLINE = "↵", "¬"
_MOST_LINES = 40
"""Lines of a difference that are shown."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def picture(rendering: Rendering) -> str:
    """The rendering as a snapshot has it. Two renderings with one picture have the same text and generated spans."""
    return "".join(_lines(rendering.text, rendering.generated))


def refusal(message: str) -> str:
    """What a snapshot has of a conversation that the template refuses."""
    return f"{REFUSED}{_escaped(message)}\n"


def compare(path: Path, text: str) -> str | None:
    """How a text differs from its snapshot, as lines; None if it does not.

    Raises:
        FileNotFoundError: if there is no snapshot.
    """
    # Read as lines, for git may have changed how they end; a carriage return of the text stands there as \r.
    stored = path.read_text(encoding="utf-8", errors="replace").splitlines()
    now = text.splitlines()
    if stored == now:
        return None
    lines = list(difflib.unified_diff(stored, now, "snapshot", "now", n=2, lineterm=""))
    more = [f"… and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
    return "\n".join(lines[:_MOST_LINES] + more)


def write(path: Path, text: str) -> bool:
    """Write a snapshot, with its folders, unless it is there already; whether anything was written."""
    content = text.encode()
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def file_name(name: str) -> str:
    """The name of the file for a test or a conversation."""
    return f"{_UNSAFE.sub('_', name)}{SUFFIX}"


def _lines(text: str, generated: Iterable[tuple[int, int]]) -> Iterator[str]:
    position = 0
    for start, end in generated:
        yield from _pieces(text[position:start], False)
        yield from _pieces(text[start:end], True)
        position = end
    yield from _pieces(text[position:], False)


def _pieces(text: str, generated: bool) -> Iterator[str]:
    *whole, last = text.split("\n")
    for line in whole:
        yield f"{_MARGIN[generated]}{_escaped(line)}{_NEWLINE}\n"
    if last:
        yield f"{_MARGIN[generated]}{_escaped(last)}{_NO_NEWLINE}\n"


def _escaped(line: str) -> str:
    if line.isprintable() and "\\" not in line:
        return line
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in line
    )
