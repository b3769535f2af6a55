"""``chattmpl inspect``."""

from __future__ import annotations

import sys

import click

from chattmpl.cli.exit_codes import FOUND, OK
from chattmpl.errors import UsageError

FORMS = ("rich", "text", "markdown", "json")


@click.command()
@click.argument("paths", nargs=-1, metavar="TEMPLATE...")
@click.option("--format", "form", type=click.Choice(FORMS), help="By default rich in a terminal, else text.")
@click.option("--width", type=click.IntRange(min=40), help="Of the table, in characters; by default the terminal's.")
def inspect(paths: tuple[str, ...], form: str | None, width: int | None) -> int:
    """Tell what templates can do, found by rendering: roles, tools, reasoning, modes, masks, parsers.

    TEMPLATE is a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json,
    a GGUF file or a family.
    What could not be evaluated is said to be so. Ends with exit code 1 if a template does not compile.
    """
    from chattmpl.capabilities import inspect_template
    from chattmpl.lint.inputs import find_inputs
    from chattmpl.report import capabilities as report

    if not paths:
        raise UsageError(
            "nothing to inspect", hint="chattmpl inspect TEMPLATE, where TEMPLATE is a file, a folder or a family"
        )
    found = [inspect_template(item) for item in find_inputs(paths)]
    form = form or ("rich" if sys.stdout.isatty() else "text")
    sys.stdout.buffer.write(report.write(form, found, width).encode(errors="backslashreplace"))
    sys.stdout.buffer.flush()
    return FOUND if any(item.error is not None for item in found) else OK
