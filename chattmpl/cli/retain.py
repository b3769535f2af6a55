"""``chattmpl retain``."""

from __future__ import annotations

from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.output import FOUND, OK, say
from chattmpl.cli.rewrite_options import Target, rewriting_options
from chattmpl.compiler.policies import describe_policies


@command("Rewriting")
@rewriting_options
@click.option(
    "--policy",
    required=True,
    metavar="POLICY",
    help=f"The traces to render. {describe_policies()}.",
)
def retain(policy: str, strict: bool, stops: tuple[str, ...], examples: int, **where: Any) -> int:
    """Rewrite which earlier reasoning traces a chat template renders.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family.
    The change and its proof go to stderr; with --format json the report, with the template, goes to stdout.
    Where there is no place for the policy, or no change could be proven, nothing is written and the exit code is 1.
    """
    target = Target(**where)
    from chattmpl.report.retention import proof_text, refusal_json, refusal_text, retention_json, written
    from chattmpl.rewrite.retain.refusal import CannotRetain
    from chattmpl.rewrite.retain.retainer import retain as retained

    template = target.load()
    try:
        made = retained(template, policy, strict=strict, stop_tokens=stops, examples=examples)
    except CannotRetain as refusal:
        if target.form == "json":
            click.echo(refusal_json(refusal, template.name), nl=False)
        else:
            say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
        return FOUND
    proof = made.proof
    target.deliver(template, written(made), proof.diff, lambda: proof_text(proof), lambda: retention_json(made))
    return OK
