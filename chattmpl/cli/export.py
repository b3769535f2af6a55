"""``chattmpl export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import Templates
from chattmpl.cli.options import KWARGS, command, template_options
from chattmpl.cli.output import say, write, write_change
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.compiler.export import Target
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change


@command("Rewriting")
@template_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("jinja", "gbnf")),
    default="jinja",
    help="jinja, the template, or gbnf, a grammar of its assistant turns for llama.cpp.",
)
@KWARGS
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
    form: str,
    template_kwargs: dict[str, Any],
) -> None:
    """Write a template as plain Jinja, or what servers need to read what its model writes.

    An existing file is backed up (.bak), and the change is shown on stderr. A tokenizer_config.json also gets
    transformers' response_template, with which tokenizer.parse_response parses completions.
    """
    if output in (None, "-") and (dry_run or into_variant):
        raise UsageError(
            f"--{'dry-run' if dry_run else 'into-variant'} needs -o", hint="name the file to write with -o"
        )
    loaded = templates.of()
    if form != "jinja":
        _write_file(_for_servers(loaded, form, template_kwargs), output, dry_run=dry_run)
        return
    if template_kwargs:
        raise UsageError("--set needs --format", hint="a template contains no kwargs")
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


def _for_servers(template: Template, form: str, template_kwargs: dict[str, Any]) -> str:
    """Return the text of a format that describes the turns of a template."""
    from chattmpl.parse.gbnf import gbnf

    return gbnf(template, **template_kwargs)


def _write_file(text: str, output: str | None, *, dry_run: bool) -> None:
    """Write a text to stdout or a file."""
    if output is None or output == "-":
        write(text)
        return
    from chattmpl.template.writer import Change

    path = Path(output)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint="name a file with -o")
    old = path.read_bytes() if path.exists() else None
    write_change(Change(path, None, text, text.encode(), old), dry_run=dry_run, what="this text")


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
