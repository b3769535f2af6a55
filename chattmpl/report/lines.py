"""Lines of styled text: the same words in a terminal, with colours, and in a file, without."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeAlias

from chattmpl.report.visible import visible
from chattmpl.source import Place

Line: TypeAlias = tuple[tuple[str, str], ...]
"""Parts of a line, each with its style as rich names it, or nothing."""

_AROUND = 30


def line(*parts: str | tuple[str, str]) -> Line:
    """A line of parts; those without a style may be plain strings. What a terminal would obey is made visible."""
    return tuple((visible(part), "") if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts)


def plain(lines: Iterable[Line]) -> str:
    """The lines as text."""
    return "".join("".join(text for text, _ in parts).rstrip() + "\n" for parts in lines)


def write_lines(lines: Iterable[Line], form: str | None) -> None:
    """Writes lines to stdout: ``rich``, ``text``, or what suits it where none is asked for."""
    if (form or ("rich" if sys.stdout.isatty() else "text")) == "text":
        sys.stdout.buffer.write(plain(lines).encode("utf-8", errors="backslashreplace"))
        sys.stdout.buffer.flush()
        return
    from rich.text import Text

    from chattmpl.report.terminal import console

    out = console(sys.stdout)
    for parts in lines:
        out.print(Text.assemble(*parts), soft_wrap=True)


def excerpt(place: Place, indent: str = "  ") -> list[Line]:
    """A line of a template with carets under a range."""
    source, _, caret = place.excerpt().rpartition("\n")
    return [line(indent, (source, "dim")), line(indent, (caret, "bold yellow"))]


def one_line(text: str) -> str:
    """A text on one line: newlines, tabs and what a terminal would obey as signs."""
    return visible(text).replace("\r", "␍").replace("\n", "↵").replace("\t", "⇥")


def versus(labels: tuple[str, str], texts: tuple[str, str], at: int, indent: str = "  ") -> list[Line]:
    """Two texts around the offset where they part, one above the other, with a caret under the first difference."""
    width = max(map(len, labels))
    start = max(0, at - _AROUND)
    head = ("…" if start else "") + one_line(texts[0][start:at])
    lines = [
        line(indent, (label.ljust(width), "dim"), "  ", head, (_cut(text, at), style))
        for label, text, style in zip(labels, texts, ("green", "red"), strict=True)
    ]
    return [*lines, line(indent, " " * (width + 2 + len(head)), ("^", "bold yellow"))]


def _cut(text: str, at: int) -> str:
    shown = one_line(text[at : at + _AROUND])
    return (shown or "(the text ends here)") + ("…" if at + _AROUND < len(text) else "")


def names(items: Iterable[str], most: int = 4) -> str:
    """Some names, each once, and how many more there are."""
    distinct = list(dict.fromkeys(items))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return ", ".join(distinct[:most]) + more


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 case``, ``2 cases``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
