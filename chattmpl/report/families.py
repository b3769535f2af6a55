"""Reports of `chattmpl families`: a table for a terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from chattmpl.printable import dumps
from chattmpl.report.lines import escaped, markdown_table
from chattmpl.template.family import Family

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("family", "upstream", "supports", "retention", "parsers (reasoning / tool)")

_WORDS = {
    "system": "system",
    "developer": "developer",
    "tools": "tools",
    "tool_calls": "calls",
    "parallel_tool_calls": "parallel",
    "tool_results": "results",
    "reasoning": "reasoning",
    "documents": "documents",
    "multimodal": "media",
}
"""Labels of the features that a family supports."""


def _row(family: Family) -> tuple[str, str, str, str, str]:
    """Return the cells of a family, under `HEADINGS`."""
    supports = [word for name, word in _WORDS.items() if getattr(family.supports, name)]
    return (
        family.name,
        family.upstream.name if family.upstream else "none",
        " ".join(supports),
        family.retention.default if family.retention else "",
        "; ".join(_parsers(family)),
    )


def _parsers(family: Family) -> Iterator[str]:
    for engine, parsers in family.parsers.items():
        if parsers.reasoning or parsers.tool:
            yield f"{engine} {parsers.reasoning or '–'} / {parsers.tool or '–'}"


def _sections(family: Family) -> Iterator[tuple[str, list[str]]]:
    """Yield the headings and lines of everything known about a family."""
    name, upstream, supports, retention, _ = _row(family)
    revision = f", revision {family.upstream.revision}" if family.upstream else ""
    yield "upstream", [upstream + revision]
    yield "supports", [supports]
    if family.retention:
        yield "retention", [f"{retention} (the upstream policy; choose another one with --retention)"]
    yield "stop tokens", [" ".join(family.generation.stop_tokens)]
    yield "control tokens", [" ".join(family.generation.control_tokens)]
    yield "special tokens", [f"{key} = {value}" for key, value in family.tokens.items()]
    yield (
        "modes",
        [
            f"{key} = {' | '.join(map(dumps, mode.values))}, by default {dumps(mode.default)}: {mode.description}"
            for key, mode in family.modes.items()
        ],
    )
    yield "kwargs", [f"{key}: {kwarg.description}" for key, kwarg in family.kwargs.items()]
    yield "parsers (reasoning / tool)", list(_parsers(family))
    yield "limits", [f"{', '.join(limit.fields)}: {limit.why}" for limit in family.limits]
    yield (
        "differs from upstream",
        [f"upstream {item.upstream}; {name} {item.ours}. {item.why}".rstrip() for item in family.divergences],
    )
    yield "upstream defects, reproduced", [defect.what for defect in family.upstream_defects]
    yield "engine bugs", [f"{bug.engine}: {bug.what}" for bug in family.engine_bugs]


def markdown(families: Iterable[Family]) -> str:
    """Return the table of families as Markdown."""
    return markdown_table(HEADINGS, map(_row, families))


def markdown_of(family: Family) -> str:
    """Return everything known about one family as Markdown."""
    lines = [f"# {family.title}", "", f"`{family.name}`: {family.description}", ""]
    for heading, entries in _sections(family):
        if any(entries):
            lines += [f"## {heading.capitalize()}", "", *(f"- {escaped(entry)}" for entry in entries), ""]
    return "\n".join(lines)


def print_table(to: Console, families: Iterable[Family]) -> None:
    """Print the table of families, with the upstream model below the name to save room."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("family", ratio=26, overflow="fold")
    table.add_column("supports", ratio=22)
    table.add_column("retention", no_wrap=True)
    table.add_column("parsers\n(reasoning / tool)", ratio=30, overflow="fold")
    for family in families:
        name, upstream, supports, retention, parsers = _row(family)
        table.add_row(
            Text.assemble((name, "bold"), "\n", (upstream, "dim")),
            Text(supports),
            Text(retention or "–"),
            Text(parsers.replace("; ", "\n"), "dim"),
        )
        table.add_section()
    to.print(table)


def print_family(to: Console, family: Family) -> None:
    """Print everything known about one family."""
    from rich.text import Text

    to.print(Text.assemble((family.title, "bold"), "  ", (family.name, "dim")))
    to.print(Text(family.description))
    for heading, entries in _sections(family):
        if any(entries):
            to.print(Text(f"\n{heading}", "bold"))
        for entry in filter(None, entries):
            for index, line in enumerate(Text(entry).wrap(to, max(to.width - 4, 10))):
                to.print(Text("    " if index else "  - ") + line)
