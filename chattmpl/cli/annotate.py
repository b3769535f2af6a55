"""``chattmpl annotate``."""

from __future__ import annotations

from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.rewrite_options import Target, rewriting_options


@command("Rewriting")
@rewriting_options
@click.option("--repair", is_flag=True, help="Replace generation tags that are wrong; by default they are refused.")
def annotate(repair: bool, strict: bool, stops: tuple[str, ...], examples: int, **where: Any) -> int:
    """Put generation tags into a chat template, so that the laws of the mask hold and no text changes.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family.
    The change and its proof go to stderr; with --format json the report, with the template, goes to stdout.
    If no placement of tags is valid, or none could be proven, nothing is written and the exit code is 1.
    """
    target = Target(**where)
    from chattmpl.rewrite.annotate.annotator import annotate

    options: dict[str, Any] = {"strict": strict, "stop_tokens": stops, "examples": examples}
    return target.rewrite(lambda template: annotate(template, repair=repair, **options))
