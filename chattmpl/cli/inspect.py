"""``chattmpl inspect``."""

import click

from chattmpl.cli.options import command, format_option
from chattmpl.cli.output import FOUND, OK, WRONG, Failures, write
from chattmpl.errors import UsageError


@command("Using templates")
@click.argument("paths", nargs=-1, metavar="TEMPLATE...")
@format_option("rich", "text", "markdown", "json")
@click.option(
    "--width",
    type=click.IntRange(min=40),
    metavar="N",
    help="Width of the tables in characters. Default: the width of the terminal, or 100.",
)
def inspect(paths: tuple[str, ...], form: str, width: int | None) -> int:
    """Show what templates support: roles, tools, reasoning, modes, masks, parsers.

    TEMPLATE is a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json, a GGUF file or a
    family. The answers come from rendering small conversations; those that could not be evaluated are listed as such.
    The exit code is 1 if a template does not compile.
    """
    from chattmpl.capabilities import inspect_template
    from chattmpl.report import capabilities as report
    from chattmpl.template.resolver import find_templates

    if not paths:
        raise UsageError(
            "no template given", hint="chattmpl inspect TEMPLATE, where TEMPLATE is a file, a folder or a family"
        )
    failures = Failures()
    found = [inspect_template(item) for item in find_templates(paths, failures)]
    if failures.count and not found:
        return WRONG
    write(report.write(form, found, width))
    return failures.or_else(FOUND if any(item.error is not None for item in found) else OK)
