"""Reports of `chattmpl inspect --server`: a table of checks, or JSON."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chattmpl.capabilities.serving import ServingCheck
from chattmpl.printable import dumps, visible
from chattmpl.report.lines import markdown_table, printed

_STYLES = {None: "green", "info": "dim", "warning": "yellow", "error": "red"}
_HEADS = ("", "what", "found", "expected", "how to fix it")


def write(form: str, found: Sequence[tuple[str, Sequence[ServingCheck]]], width: int | None = None) -> str:
    """Return the checks of each template as ``rich``, ``text``, ``markdown`` or ``json``."""
    if form == "json":
        checks = [{"template": name, **asdict(check)} for name, made in found for check in made]
        return dumps(checks, indent=2) + "\n"
    if form == "markdown":
        return "\n".join(_markdown(name, made) for name, made in found)
    return printed(lambda to: _print(to, found), form, width, 120)


def _print(to: Console, found: Sequence[tuple[str, Sequence[ServingCheck]]]) -> None:
    for name, made in found:
        table = Table(
            *_HEADS, box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False, title=visible(name)
        )
        for check in made:
            table.add_row(Text(check.severity or "✓", _STYLES[check.severity]), *map(Text, _cells(check)))
        to.print(table)


def _cells(check: ServingCheck) -> tuple[str, ...]:
    found = f"{check.code}: {check.found}" if check.code else check.found
    return tuple(map(visible, (check.name, found, check.expected, check.fix)))


def _markdown(name: str, made: Sequence[ServingCheck]) -> str:
    rows = ((check.severity or "✓", *_cells(check)) for check in made)
    return f"**{visible(name)}**\n\n{markdown_table(_HEADS, rows)}"
