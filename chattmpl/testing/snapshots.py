"""Snapshots of renderings: readable files that show every character.

A snapshot has a line for each line of the rendering. ``▌`` in the margin marks generated text. ``↵`` at the end shows
a newline. ``¬`` shows that there is none: the text ends there, or generated text begins or ends within the line. So
editors do not strip trailing spaces. Invisible characters and the backslash are escaped as in a Python string.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from chattmpl.errors import ChatTmplError
from chattmpl.template.template import Rendering

FOLDER = "__chattmpl__"
SUFFIX = ".txt"
REFUSED = "refused: "

_MARGIN = {True: "▌ ", False: "  "}
_NEWLINE, _NO_NEWLINE = "↵", "¬"
_MOST_LINES = 40
"""Limit of the lines of a difference."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def picture(rendering: Rendering) -> str:
    """Return the snapshot of a rendering. Equal snapshots mean equal texts and generated spans."""
    return "".join(_lines(rendering.text, rendering.generated))


def refusal(error: ChatTmplError) -> str:
    """Return the snapshot of a conversation that the template refuses: its complaint, or else the kind of refusal."""
    return f"{REFUSED}{_escaped(error.complaint or error.reason or type(error).__name__)}\n"


def compare(path: Path, text: str) -> str | None:
    """Return the difference between a snapshot and a text, or None if they are equal.

    Raises:
        FileNotFoundError: if there is no snapshot.
    """
    # Compared by lines, because git may have changed the line endings; a carriage return in the text is escaped as \r.
    stored = path.read_text(encoding="utf-8", errors="replace").splitlines()
    now = text.splitlines()
    if stored == now:
        return None
    lines = list(difflib.unified_diff(stored, now, "snapshot", "now", n=2, lineterm=""))
    more = [f"… and {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join(lines[:_MOST_LINES] + more)


def write(path: Path, text: str) -> bool:
    """Write a snapshot and its folders. Return False if the file already has this text."""
    content = text.encode()
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def file_name(name: str) -> str:
    """Return the file name for a test or a conversation."""
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
