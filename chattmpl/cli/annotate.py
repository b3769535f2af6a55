"""``chattmpl annotate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chattmpl.cli.failing import FOUND, OK, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.exporting import Change
    from chattmpl.template import Template

_GGUF = ".gguf"


@click.command()
@click.argument("upstream", metavar="UPSTREAM")
@click.option("-o", "--output", metavar="PATH", help="A file to write, or a model directory; by default stdout.")
@click.option("--in-place", is_flag=True, help="Write it where it was read: a file, a config or a model directory.")
@click.option("--repair", is_flag=True, help="Place tags anew where there are some that are not lawful.")
@click.option("--strict", is_flag=True, help="Refuse also where a law cannot hold for some conversations only.")
@click.option("--stop-token", "stops", multiple=True, metavar="TEXT", help="What ends the assistant's turns.")
@click.option("--examples", type=click.IntRange(0), default=60, help="Conversations that hypothesis makes; 60.")
@click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use.")
@click.option("--dry-run", is_flag=True, help="Show the change and its proof, and write nothing.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="The report; text.")
def annotate(
    upstream: str,
    output: str | None,
    in_place: bool,
    repair: bool,
    strict: bool,
    stops: tuple[str, ...],
    examples: int,
    variant: str | None,
    dry_run: bool,
    form: str,
) -> int:
    """Put generation tags into a chat template, so that the laws of the mask hold and no text changes.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family.
    The change and its proof go to stderr; with --format json the report, with the template, goes to stdout.
    Where no lawful placement exists, or none could be proven, nothing is written and the exit code is 1.
    """
    from chattmpl.annotate.refusal import CannotAnnotate
    from chattmpl.report.annotation import annotation_json, proof_text, refusal_json, refusal_text

    if in_place and output is not None:
        raise UsageError("--in-place and -o exclude each other", hint="-o names another place to write to")
    if in_place and Path(upstream).suffix == _GGUF:
        raise UsageError(
            f"{upstream} is a GGUF file, which is not written",
            hint="annotate the model directory that it was made from, or give -o TRAINING.jinja",
        )
    template = _load(upstream, variant)
    try:
        made = template.annotate(repair=repair, strict=strict, stop_tokens=stops, examples=examples)
    except CannotAnnotate as refusal:
        if form == "json":
            click.echo(refusal_json(refusal, template.name), nl=False)
        else:
            say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
        return FOUND
    assert made.proof is not None
    if form == "json":
        click.echo(annotation_json(made), nl=False)
    else:
        say(proof_text(made.proof))
    if in_place or output not in (None, "-"):
        _write(_planned(template, made, None if in_place else output), dry_run)
    elif form == "text" and not dry_run:
        sys.stdout.buffer.write(made.given.text.encode())
        sys.stdout.buffer.flush()
    return OK


def _load(upstream: str, variant: str | None) -> Template:
    from chattmpl.origins import CONFIG
    from chattmpl.template import Template

    path = Path(upstream)
    if path.suffix == _GGUF and path.is_file():
        from chattmpl.lint.inputs import find_inputs

        key = "tokenizer.chat_template" + (f".{variant}" if variant not in (None, "default") else "")
        found = [found for found in find_inputs([upstream]) if found.source.name.endswith(f":{key}")]
        if not found:
            raise UsageError(f"{upstream} holds no template {key}")
        return Template(found[0])
    # Beside the template of a model directory stands what its special tokens are.
    beside = path.name == "chat_template.jinja" and (path.parent / CONFIG).is_file()
    return Template.load(str(path.parent) if beside else upstream, variant=variant)


def _planned(template: Template, made: Template, output: str | None) -> Change:
    from chattmpl.exporting import plan
    from chattmpl.lint.writing import planned
    from chattmpl.origins import Found

    if output is not None:
        return plan(made.given.text, Path(output))
    change = planned(Found(template.given), Found(made.given))
    if isinstance(change, str):
        raise UsageError(f"{template.name} cannot be written in place: {change}", hint="-o names a file to write")
    return change


def _write(change: Change, dry_run: bool) -> None:
    from chattmpl.exporting import write

    if not change.needed:
        say(f"{change.path} already holds this template: nothing was written")
    elif dry_run:
        say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
    else:
        backup = write(change)
        say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))
