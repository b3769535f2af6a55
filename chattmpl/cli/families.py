"""``chattmpl families``."""

from __future__ import annotations

import sys

import click

from chattmpl.template.family import family_names, load_family


@click.command()
@click.argument("name", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(("rich", "json", "markdown")),
    help="By default rich in a terminal, else markdown.",
)
def families(name: str | None, form: str | None) -> None:
    """List the families, or tell all that is known of the one called NAME."""
    from chattmpl.printable import dumps
    from chattmpl.report import catalogue
    from chattmpl.report.writers import print_rich

    form = form or ("rich" if sys.stdout.isatty() else "markdown")
    chosen = [load_family(known) for known in ([name] if name else family_names())]
    out = sys.stdout.buffer
    if form == "rich" and name:
        print_rich(out, lambda console: catalogue.print_family(console, chosen[0]))
    elif form == "rich":
        print_rich(out, lambda console: catalogue.print_table(console, chosen))
    elif form == "json":
        facts = [catalogue.facts(family) for family in chosen]
        out.write((dumps(facts[0] if name else facts, indent=2) + "\n").encode())
    else:
        out.write((catalogue.markdown_of(chosen[0]) if name else catalogue.markdown(chosen)).encode())
    out.flush()
