"""``chattmpl retain``."""

from __future__ import annotations

from typing import Any

import click

from chattmpl.cli.options import command
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
    If there is no place for the policy, or no change could be proven, nothing is written and the exit code is 1.
    """
    target = Target(**where)
    from chattmpl.rewrite.retain.retainer import retain

    options: dict[str, Any] = {"strict": strict, "stop_tokens": stops, "examples": examples}
    return target.rewrite(lambda template: retain(template, policy, **options))
