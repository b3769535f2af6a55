"""``chattmpl export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chattmpl.cli.exit_codes import say
from chattmpl.cli.options import template_options
from chattmpl.cli.template_choice import Templates
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.compiler.program import Target
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change

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
@click.option(
    "--response-template/--no-response-template",
    default=True,
    help="Whether a config also gets transformers' response_template, if the template is a family's.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
def export(
    template: str | None,
    retention: str | None,
    variant: str | None,
    target: Target,
    output: str | None,
    into_variant: str | None,
    dry_run: bool,
    response_template: bool,
) -> None:
    """Write a template as plain Jinja, for transformers, TRL and engines that serve.

    A file that exists is kept as a backup (.bak), and what changes is shown on stderr. A tokenizer_config.json also
    gets transformers' response_template, by which tokenizer.parse_response reads what the model says.
    """
    to_file = output is not None and output != "-"
    if not to_file and (dry_run or into_variant):
        raise UsageError(
            f"--{'dry-run' if dry_run else 'into-variant'} needs -o", hint="-o names what would be written"
        )
    loaded = Templates(template, None, retention, variant).of()
    exported = loaded.export(target)
    if output is None or not to_file:
        sys.stdout.buffer.write(exported.encode())
        sys.stdout.buffer.flush()
        return
    from chattmpl.template.writer import plan

    change = plan(exported, Path(output), into_variant)
    response, said = None, ""
    if response_template and into_variant in (None, "default"):
        response, said = _response(loaded, Path(output), change)
    if response is not None and response.path == change.path:
        change, response = response, None
    if diff := change.diff():
        say(diff.rstrip("\n"))
    _write(change, dry_run, "this template")
    if response is not None:
        _write(response, dry_run, "this response_template")
    if said:
        say(said)


def _write(change: Change, dry_run: bool, what: str) -> None:
    from chattmpl.template.writer import write

    if not change.needed:
        say(f"{change.path} already holds {what}: nothing was written")
    elif dry_run:
        say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
    else:
        backup = write(change)
        say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))


def _response(template: Template, path: Path, change: Change) -> tuple[Change | None, str]:
    """What a response_template changes, and a line that says what the format cannot express, or why there is none."""
    from chattmpl.parse.response_template import response_template
    from chattmpl.template.writer import plan_response

    if not path.is_dir() and path.suffix != ".json":
        return None, ""
    if template.family is None or template.family.parse is None:
        return None, "no response_template was written, for it is not known how texts of this template are read"
    try:
        made = response_template(template)
    except UsageError as error:
        return None, error.message
    planned = plan_response(made.data, path, change)
    if planned is None:
        return None, f"no response_template was written: {path} holds no tokenizer_config.json"
    return planned, f"response_template: {'; '.join(made.left_out)}" if made.left_out else ""
