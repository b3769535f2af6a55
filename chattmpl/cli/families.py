"""``chattmpl families``."""

import sys

import click

from chattmpl.cli.options import command, format_option
from chattmpl.cli.output import write


@command(
    "Using templates",
    "chattmpl families",
    "chattmpl families qwen3",
)
@click.argument("name", required=False)
@format_option("rich", "json", "markdown", piped="markdown")
def families(name: str | None, form: str) -> None:
    """List the families that ship with chattmpl, or show everything known about one.

    NAME is a family.
    """
    from chattmpl.printable import dumps
    from chattmpl.report import families as report
    from chattmpl.report.writers import print_rich
    from chattmpl.template.family import family_names, load_family

    chosen = [load_family(known) for known in ([name] if name else family_names())]
    if form == "rich" and name:
        print_rich(sys.stdout.buffer, lambda console: report.print_family(console, chosen[0]))
    elif form == "rich":
        print_rich(sys.stdout.buffer, lambda console: report.print_table(console, chosen))
    elif form == "json":
        facts = [family.model_dump(mode="json", exclude={"folder"}) for family in chosen]
        write(dumps(facts[0] if name else facts, indent=2) + "\n")
    else:
        write(report.markdown_of(chosen[0]) if name else report.markdown(chosen))
