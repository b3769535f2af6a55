"""Lines of styled text: coloured in a terminal, plain in a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, TypeAlias

from chattmpl.printable import one_line, visible
from chattmpl.source import Place

if TYPE_CHECKING:
    from rich.console import Console

Line: TypeAlias = tuple[tuple[str, str], ...]
"""The parts of a line, each with the name of its rich style, or an empty string."""

_AROUND = 30


def line(*parts: str | tuple[str, str]) -> Line:
    """Build a line from parts; those without a style may be plain strings. Control characters are made visible."""
    return tuple((visible(part), "") if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts)


def plain(lines: Iterable[Line]) -> str:
    """Return lines as text without styles."""
    return "".join("".join(text for text, _ in parts).rstrip() + "\n" for parts in lines)


def write_lines(lines: Iterable[Line], form: str | None) -> None:
    """Write lines to stdout as ``rich`` or ``text``; None chooses ``rich`` in a terminal."""
    if (form or ("rich" if sys.stdout.isatty() else "text")) == "text":
        sys.stdout.buffer.write(plain(lines).encode("utf-8", errors="backslashreplace"))
        sys.stdout.buffer.flush()
        return
    from rich.text import Text

    out = console(sys.stdout)
    for parts in lines:
        out.print(Text.assemble(*parts), soft_wrap=True)


def console(file: IO[str], *, width: int | None = None, force_terminal: bool | None = None) -> Console:
    """Return a console that prints text verbatim: no markup, no highlighting, no emoji codes."""
    from rich.console import Console

    return Console(file=file, width=width, force_terminal=force_terminal, highlight=False, markup=False, emoji=False)


def printed(print_to: Callable[[Console], None], form: str, width: int | None, piped: int) -> str:
    """Return the text printed to a console, in the width of the terminal or of output that goes to none."""
    file = io.StringIO()
    rich = form == "rich"  # collected in memory, but printed to a terminal
    print_to(console(file, width=width or (None if rich else piped), force_terminal=rich or None))
    return file.getvalue() if rich else "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    every = (map(escaped, heads), ["---"] * len(heads), *(map(escaped, row) for row in rows))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in every)


def escaped(text: str) -> str:
    """Return a text as a cell of a table in Markdown."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("\n", "<br>")


def excerpt(place: Place, indent: str = "  ") -> list[Line]:
    """Return the template line of a place, and a line with carets under the place."""
    source, _, caret = place.excerpt().rpartition("\n")
    return [line(indent, (source, "dim")), line(indent, (caret, "bold yellow"))]


def versus(labels: tuple[str, str], texts: tuple[str, str], at: int) -> list[Line]:
    """Return two texts around the offset where they diverge, with a caret under the first difference."""
    width = max(map(len, labels))
    start = max(0, at - _AROUND)
    head = ("…" if start else "") + one_line(texts[0][start:at])
    lines = [
        line("  ", (label.ljust(width), "dim"), "  ", head, (_tail(text, at), style))
        for label, text, style in zip(labels, texts, ("green", "red"), strict=True)
    ]
    return [*lines, line(" " * (width + 4 + len(head)), ("^", "bold yellow"))]


def _tail(text: str, at: int) -> str:
    shown = one_line(text[at : at + _AROUND])
    return (shown or "(end of text)") + ("…" if at + _AROUND < len(text) else "")
