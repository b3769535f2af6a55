"""``chattmpl export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chattmpl.cli.inputs import Templates
from chattmpl.cli.options import command, template_options
from chattmpl.cli.output import say, write, write_change
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.compiler.export import Target
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change


@command("Rewriting")
@template_options
@click.option(
    "--target",
    type=click.Choice(("train", "inference")),
    default="train",
    help="Export with generation tags (train) or without them (inference). Both render the same text.",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="File to write, or tokenizer_config.json or model directory to change. Default: stdout.",
)
@click.option(
    "--into-variant",
    metavar="NAME",
    help="Name of the template to replace in a PATH that holds several. Default: the one named default.",
)
@click.option(
    "--response-template/--no-response-template",
    default=True,
    help="Write transformers' response_template too, for a family that is exported into a tokenizer_config.json.",
)
@click.option("--dry-run", is_flag=True, help="Print the change without writing it.")
def export(
    templates: Templates,
    target: Target,
    output: str | None,
    into_variant: str | None,
    dry_run: bool,
    response_template: bool,
) -> None:
    """Write a template as plain Jinja, for transformers, TRL and serving engines.

    An existing file is backed up (.bak), and the change is shown on stderr. A tokenizer_config.json also gets
    transformers' response_template, with which tokenizer.parse_response parses completions.
    """
    if output in (None, "-") and (dry_run or into_variant):
        raise UsageError(
            f"--{'dry-run' if dry_run else 'into-variant'} needs -o", hint="name the file to write with -o"
        )
    loaded = templates.of()
    exported = loaded.export(target)
    if output is None or output == "-":
        write(exported)
        return
    from chattmpl.template.writer import plan

    change = plan(exported, Path(output), into_variant)
    response, remark = None, ""
    if response_template and into_variant in (None, "default"):
        response, remark = _response(loaded, Path(output), change)
    if response is not None and response.path == change.path:
        change, response = response, None
    if diff := change.diff():
        say(diff.rstrip("\n"))
    write_change(change, dry_run=dry_run)
    if response is not None:
        write_change(response, dry_run=dry_run, what="this response_template")
    if remark:
        say(remark)


def _response(template: Template, path: Path, change: Change) -> tuple[Change | None, str]:
    """Plan the response_template. Return the change, and a remark on what it lacks or why there is none."""
    from chattmpl.parse.response_template import response_template
    from chattmpl.template.writer import plan_response

    if not path.is_dir() and path.suffix != ".json":
        return None, ""
    if template.family is None or template.family.parse is None:
        return None, "no response_template was written: the grammar of this template's completions is unknown"
    try:
        made = response_template(template)
    except UsageError as error:
        return None, error.message
    planned = plan_response(made.data, path, change)
    if planned is None:
        return None, f"no response_template was written: {path} holds no tokenizer_config.json"
    return planned, f"response_template: {'; '.join(made.left_out)}" if made.left_out else ""
