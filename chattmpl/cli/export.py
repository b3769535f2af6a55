"""``chattmpl export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import Templates, read_text
from chattmpl.cli.options import KWARGS, command, template_options
from chattmpl.cli.output import say, write, write_change
from chattmpl.errors import UsageError
from chattmpl.printable import dumps

if TYPE_CHECKING:
    from chattmpl.compiler.export import Target
    from chattmpl.template.template import Template
    from chattmpl.template.writer import Change


@command(
    "Rewriting",
    "chattmpl export -t qwen3 --retention all -o chat_template.jinja",
    "chattmpl export -t training.jinja --target inference -o path/to/model",
    "chattmpl export -t path/to/model --format vllm",
)
@template_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("jinja", "gbnf", "structural-tag", "response-template", "vllm", "sglang")),
    default="jinja",
    help="Output format: the template as jinja; a grammar of its assistant turns for llama.cpp (gbnf) or xgrammar "
    "(structural-tag); a response-template for transformers' parse_response; the flags of vllm or sglang.",
)
@click.option(
    "--tools", metavar="FILE", help="JSON list of the tools that a structural-tag allows to call. Default: any."
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
    tools: str | None,
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
    if tools is not None and form != "structural-tag":
        raise UsageError("--tools needs --format structural-tag", hint="the other formats do not depend on tools")
    if template_kwargs and form not in ("gbnf", "structural-tag"):
        raise UsageError("--set needs --format gbnf or structural-tag", hint="the others do not depend on kwargs")
    if into_variant and form != "jinja":
        raise UsageError("--into-variant needs --format jinja", hint="name a file for the other formats with -o")
    loaded = templates.of()
    if form != "jinja":
        _write_file(_for_servers(loaded, form, tools, template_kwargs), output, dry_run=dry_run)
        return
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


def _for_servers(template: Template, form: str, tools: str | None, template_kwargs: dict[str, Any]) -> str:
    """Return the text of a format that describes the turns of a template; print to stderr what it lacks."""
    if form == "gbnf":
        from chattmpl.parse.gbnf import gbnf

        return gbnf(template, **template_kwargs)
    if form == "structural-tag":
        from chattmpl.parse.structural_tag import structural_tag

        made = structural_tag(template, None if tools is None else _tools(tools), **template_kwargs)
        return dumps(made, indent=2) + "\n"
    if form == "response-template":
        from chattmpl.parse.response_template import response_template

        response = response_template(template)
        for sentence in response.left_out:
            say(f"warning: {sentence}")
        return dumps(response.data, indent=2) + "\n"
    from chattmpl.parse.server_flags import server_flags

    flags = server_flags(template, form)
    for warning in flags.warnings:
        say(f"warning: {warning}")
    return f"{flags.text}\n" if flags.text else ""


def _tools(file: str) -> list[Any]:
    try:
        found = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: invalid JSON: {error}", hint="expected a list of tools") from None
    if not isinstance(found, list):
        raise UsageError(f"{file}: expected a list of tools, not {type(found).__name__}", hint="put it into [ ]")
    return found


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
    if template.family is None:
        return None, "no response_template was written: write one for this template with --format response-template"
    try:
        made = response_template(template)
    except UsageError as error:
        return None, error.message
    planned = plan_response(made.data, path, change)
    if planned is None:
        return None, f"no response_template was written: {path} holds no tokenizer_config.json"
    return planned, f"response_template: {'; '.join(made.left_out)}" if made.left_out else ""
