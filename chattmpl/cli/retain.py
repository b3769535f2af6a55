"""``chattmpl retain``."""

from typing import Any

import click

from chattmpl.cli.options import LazyOption, command
from chattmpl.cli.rewrite_options import rewrite, rewrite_options


def _describe_policy() -> str:
    from chattmpl.compiler.policies import describe_policies

    return f"Turns whose reasoning traces are rendered. {describe_policies()}."


@command(
    "Rewriting",
    "chattmpl retain qwen3.jinja --policy all -o kept.jinja",
    "chattmpl retain path/to/model --policy since_last_user --in-place",
)
@rewrite_options
@click.option("--policy", cls=LazyOption, describe=_describe_policy, required=True, metavar="POLICY")
def retain(**options: Any) -> int:
    """Change which reasoning traces of earlier turns a chat template renders.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family. The change and its
    proof are printed to stderr; with --format json, a report with the template is printed to stdout. If no change
    applies the policy or can be proven, nothing is written and the exit code is 1.
    """
    from chattmpl.rewrite.retain.retainer import retain

    return rewrite(retain, **options)
