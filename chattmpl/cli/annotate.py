"""``chattmpl annotate``."""

from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.rewrite_options import rewrite, rewrite_options


@command(
    "Rewriting",
    "chattmpl annotate upstream.jinja -o training.jinja",
    "chattmpl annotate path/to/model --in-place",
    "chattmpl annotate path/to/model --for last-turn -o training.jinja",
    "chattmpl annotate upstream.jinja --diff",
)
@rewrite_options
@click.option("--repair", is_flag=True, help="Replace invalid generation tags instead of refusing them.")
@click.option(
    "--for",
    "for_",
    type=click.Choice(("all-turns", "last-turn")),
    default="all-turns",
    help="Assistant turns that tags are for; last-turn is for trainers that make one row for each turn.",
)
def annotate(**options: Any) -> int:
    """Add generation tags to a chat template, so that the laws of the mask hold and no text changes.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family. The change and its
    proof are printed to stderr; with --format json, a report with the template is printed to stdout. If no placement of
    tags is valid or can be proven, nothing is written and the exit code is 1.
    """
    from chattmpl.rewrite.annotate.annotator import annotate

    return rewrite(annotate, **options)
