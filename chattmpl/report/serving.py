"""Reports of `chattmpl inspect --server`: a table of checks, or JSON."""

import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from chattmpl.capabilities.serving import ServingCheck
from chattmpl.printable import dumps, visible
from chattmpl.report.capabilities import escaped_cell
from chattmpl.report.lines import console

_STYLES = {None: "green", "info": "dim", "warning": "yellow", "error": "red"}
_HEADS = ("", "what", "found", "expected", "how to fix it")


def write(form: str, found: Sequence[tuple[str, Sequence[ServingCheck]]], width: int | None = None) -> str:
    """Return the checks of each template as ``rich``, ``text``, ``markdown`` or ``json``."""
    if form == "json":
        checks = [{"template": name, **check.to_dict()} for name, made in found for check in made]
        return dumps(checks, indent=2) + "\n"
    if form == "markdown":
        return "\n".join(_markdown(name, made) for name, made in found)
    file = io.StringIO()
    to = console(file, width=width or (None if form == "rich" else 120), force_terminal=form == "rich" or None)
    for name, made in found:
        table = Table(
            *_HEADS, box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False, title=visible(name)
        )
        for check in made:
            table.add_row(Text(check.severity or "✓", _STYLES[check.severity]), *map(Text, _cells(check)))
        to.print(table)
    return file.getvalue() if form == "rich" else "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _cells(check: ServingCheck) -> tuple[str, ...]:
    found = f"{check.code}: {check.found}" if check.code else check.found
    return tuple(map(visible, (check.name, found, check.expected, check.fix)))


def _markdown(name: str, made: Sequence[ServingCheck]) -> str:
    rows = [_HEADS, ("---",) * len(_HEADS), *((check.severity or "✓", *_cells(check)) for check in made)]
    lines = (f"| {' | '.join(map(escaped_cell, row))} |" for row in rows)
    return "\n".join([f"**{visible(name)}**", "", *lines, ""])
