"""``chattmpl retain``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chattmpl.cli.failing import FOUND, OK, say


@click.command()
@click.argument("upstream", metavar="UPSTREAM")
@click.option(
    "--policy",
    required=True,
    metavar="POLICY",
    help="Which traces are rendered: all, since_last_user, last or none.",
)
@click.option("-o", "--output", metavar="PATH", help="A file to write, or a model directory; by default stdout.")
@click.option("--examples", type=click.IntRange(0), default=60, help="Conversations that hypothesis makes; 60.")
@click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use.")
@click.option("--dry-run", is_flag=True, help="Show the change and its proof, and write nothing.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="The report; text.")
def retain(
    upstream: str, policy: str, output: str | None, examples: int, variant: str | None, dry_run: bool, form: str
) -> int:
    """Rewrite which earlier reasoning traces a chat template renders.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json or a family.
    The change and its proof go to stderr; with --format json the report, with the template, goes to stdout.
    Where there is no place for the policy, or no change could be proven, nothing is written and the exit code is 1.
    """
    from chattmpl.report.retention import proof_text, refusal_json, refusal_text, retention_json, written
    from chattmpl.retain.refusal import CannotRetain
    from chattmpl.template import Template

    template = Template.load(upstream, variant=variant)
    try:
        made = template.retain(policy, examples=examples)
    except CannotRetain as refusal:
        if form == "json":
            click.echo(refusal_json(refusal, template.name), nl=False)
        else:
            say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
        return FOUND
    if form == "json":
        click.echo(retention_json(made), nl=False)
    else:
        say(proof_text(made.proof))
    if output not in (None, "-"):
        _write(written(made), Path(str(output)), dry_run)
    elif form == "text" and not dry_run:
        sys.stdout.buffer.write(written(made).encode())
        sys.stdout.buffer.flush()
    return OK


def _write(text: str, path: Path, dry_run: bool) -> None:
    from chattmpl.exporting import plan, write

    change = plan(text, path)
    if not change.needed:
        say(f"{change.path} already holds this template: nothing was written")
    elif dry_run:
        say(f"{change.path} would be {'created' if change.old is None else 'changed'}: nothing was written")
    else:
        backup = write(change)
        say(f"wrote {change.path}" + (f", backup in {backup}" if backup else ""))
