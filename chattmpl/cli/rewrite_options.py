"""The argument and the options of ``chattmpl annotate`` and ``chattmpl retain``, and the run of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.options import VARIANT, joined
from chattmpl.cli.output import FOUND, OK, say, write, write_change
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.rewrite.result import Rewrite

_OPTIONS = (
    click.argument("upstream", metavar="UPSTREAM"),
    click.option("-o", "--output", metavar="PATH", help="File or model directory to write. Default: stdout."),
    click.option("--in-place", is_flag=True, help="Write to UPSTREAM: a file, a config or a model directory."),
    click.option("--strict", is_flag=True, help="Refuse a template that breaks a law for some conversations only."),
    click.option(
        "--stop-token",
        "stop_tokens",
        multiple=True,
        metavar="TEXT",
        help="Stop token of the assistant's turns. May be repeated. Default: found by rendering.",
    ),
    click.option(
        "--examples",
        type=click.IntRange(0),
        metavar="N",
        default=60,
        help="Number of conversations that hypothesis generates for the proof.",
    ),
    VARIANT,
    click.option("--dry-run", is_flag=True, help="Print the change and its proof without writing anything."),
    click.option("--diff", "only_diff", is_flag=True, help="Print only the change, as a diff, without writing it."),
    click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="Format of the report."),
)


rewrite_options = joined(_OPTIONS)
"""The argument and the options that both commands have."""


def rewrite(
    operation: Callable[..., Rewrite[Any, Any]],
    *,
    upstream: str,
    variant: str | None,
    output: str | None,
    in_place: bool,
    dry_run: bool,
    only_diff: bool,
    form: str,
    **options: Any,
) -> int:
    """Rewrite a template, report, write the result, and return the exit code.

    The operation is `annotate` or `retain`, and takes the template and the options that are not named here.

    Raises:
        UsageError: if options are mutually exclusive, or the input cannot be written to.
    """
    from chattmpl.report.rewrite import proof_text, refusal_json, refusal_text, rewrite_json
    from chattmpl.rewrite.refusal import CannotRewrite
    from chattmpl.template.template import Template
    from chattmpl.template.writer import plan, plan_in_place

    if in_place and output is not None:
        raise UsageError("--in-place and -o are mutually exclusive", hint="remove one of them")
    if only_diff and form == "json":
        raise UsageError("--diff and --format json are mutually exclusive", hint="the JSON report contains the diff")
    if only_diff and (in_place or output is not None):
        raise UsageError("--diff writes nothing, so it excludes --in-place and -o", hint="remove one of them")
    if in_place and Path(upstream).suffix == ".gguf":
        raise UsageError(
            f"{upstream} is a GGUF file, which cannot be rewritten in place",
            hint="rewrite the model directory that it was converted from, or pass -o FILE.jinja",
        )
    template = Template.load(upstream, variant=variant)
    if in_place and template.family is not None:
        raise UsageError(f"{template.name} is a family, which cannot be rewritten in place", hint="pass -o FILE.jinja")
    try:
        result = operation(template, **options)
    except CannotRewrite as refusal:
        if form == "json":
            click.echo(refusal_json(refusal, template.name), nl=False)
        else:
            say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
        return FOUND
    if form == "json":
        click.echo(rewrite_json(result), nl=False)
    elif not only_diff:
        say(proof_text(result.proof))
    if only_diff:
        write(result.proof.diff)
    elif in_place:
        write_change(plan_in_place(template.resolved, result.text), dry_run=dry_run)
    elif output not in (None, "-"):
        path = Path(str(output))
        into = variant if path.suffix == ".json" or path.is_dir() else None
        write_change(plan(result.text, path, into), dry_run=dry_run)
    elif form == "text" and not dry_run:
        write(result.text)
    return OK
