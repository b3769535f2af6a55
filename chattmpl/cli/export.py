"""``chattmpl export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chattmpl.cli.choice import Templates
from chattmpl.cli.failing import say
from chattmpl.cli.options import template_options
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.compiler.program import Target

TARGETS = ("train", "inference")


@click.command()
@template_options
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default="train",
    show_default=True,
    help="train keeps generation tags; inference has none, and renders the same text.",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="A file to write, a tokenizer_config.json or a model directory to change in place; by default stdout.",
)
@click.option("--into-variant", metavar="NAME", help="Which of several named templates in PATH to replace.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
def export(
    template: str | None,
    retention: str | None,
    variant: str | None,
    target: Target,
    output: str | None,
    into_variant: str | None,
    dry_run: bool,
) -> None:
    """Write a template as plain Jinja, for transformers, TRL and engines that serve.

    A file that exists is kept as a backup (.bak), and what changes is shown on stderr.
    """
    to_file = output is not None and output != "-"
    if not to_file and (dry_run or into_variant):
        raise UsageError(
            f"--{'dry-run' if dry_run else 'into-variant'} needs -o", hint="-o names what would be written"
        )
    exported = Templates(template, None, retention, variant).of().export(target)
    if output is None or not to_file:
        sys.stdout.buffer.write(exported.encode())
        sys.stdout.buffer.flush()
        return
    from chattmpl.exporting import plan, write

    change = plan(exported, Path(output), into_variant)
    if diff := change.diff():
        say(diff.rstrip("\n"))
    if not change.needed:
        say(f"{change.path} already holds this template: nothing was written")
    elif dry_run:
        say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
    else:
        backup = write(change)
        say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))
