"""The families, as a table for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

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
"""What the table calls what a family supports."""


def facts(family: Family) -> dict[str, Any]:
    """All that is known of a family, as JSON types."""
    return family.model_dump(mode="json", exclude={"folder"})


def row(family: Family) -> tuple[str, str, str, str, str]:
    """What the table says of a family, under `HEADINGS`."""
    supports = [word for name, word in _WORDS.items() if getattr(family.supports, name)]
    return (
        family.name,
        family.upstream.name if family.upstream else "our own",
        " ".join(supports),
        family.retention.default if family.retention else "",
        "; ".join(_parsers(family)),
    )


def _parsers(family: Family) -> Iterator[str]:
    for engine, parsers in family.parsers.items():
        if parsers.reasoning or parsers.tool:
            yield f"{engine} {parsers.reasoning or '–'} / {parsers.tool or '–'}"


def sections(family: Family) -> Iterator[tuple[str, list[str]]]:
    """All that is known of a family, in words: headings, and under each its lines."""
    name, upstream, supports, retention, _ = row(family)
    revision = f", revision {family.upstream.revision}" if family.upstream else ""
    yield "upstream", [upstream + revision]
    yield "supports", [supports]
    if family.retention:
        yield "retention", [f"{retention} (what upstream does; --retention chooses another)"]
    yield "stop tokens", [" ".join(family.generation.stop_tokens)]
    yield "control tokens", [" ".join(family.generation.control_tokens)]
    yield "special tokens", [f"{key} = {value}" for key, value in family.tokens.items()]
    yield (
        "modes",
        [
            f"{key} = {' | '.join(map(_json, mode.values))}, by default {_json(mode.default)}: {mode.description}"
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
    yield "defects of upstream, reproduced", [defect.what for defect in family.upstream_defects]
    yield "bugs of engines", [f"{bug.engine}: {bug.what}" for bug in family.engine_bugs]


def _json(value: object) -> str:
    from chattmpl.printable import dumps

    return dumps(value)


def markdown(families: Iterable[Family]) -> str:
    """The table as Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(row, families)]
    return "".join(f"| {' | '.join(_cell(cell) for cell in cells)} |\n" for cells in rows)


def markdown_of(family: Family) -> str:
    """All that is known of one family, as Markdown."""
    lines = [f"# {family.title}", "", f"`{family.name}`: {family.description}", ""]
    for heading, entries in sections(family):
        if any(entries):
            lines += [f"## {heading.capitalize()}", "", *(f"- {_escaped(entry)}" for entry in entries), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("<", "\\<")


def print_table(to: Console, families: Iterable[Family]) -> None:
    """Prints the table; the upstream stands under the family's name, for want of room."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("family", ratio=26, overflow="fold")
    table.add_column("supports", ratio=22)
    table.add_column("retention", no_wrap=True)
    table.add_column("parsers\n(reasoning / tool)", ratio=30, overflow="fold")
    for family in families:
        name, upstream, supports, retention, parsers = row(family)
        table.add_row(
            Text.assemble((name, "bold"), "\n", (upstream, "dim")),
            Text(supports),
            Text(retention or "–"),
            Text(parsers.replace("; ", "\n"), "dim"),
        )
        table.add_section()
    to.print(table)


def print_family(to: Console, family: Family) -> None:
    """Prints all that is known of one family."""
    from rich.text import Text

    to.print(Text.assemble((family.title, "bold"), "  ", (family.name, "dim")))
    to.print(Text(family.description))
    for heading, entries in sections(family):
        if any(entries):
            to.print(Text(f"\n{heading}", "bold"))
        for entry in filter(None, entries):
            for index, line in enumerate(Text(entry).wrap(to, max(to.width - 4, 10))):
                to.print(Text("    " if index else "  - ") + line)
