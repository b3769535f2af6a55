"""``chattmpl engines``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import compared_conversations, tokenizer_of, with_special_tokens
from chattmpl.cli.options import (
    CONVERSATIONS_TOO,
    KWARGS,
    LIMIT,
    RETENTION,
    VARIANT,
    LazyOption,
    command,
    format_option,
    tokenizer_option,
)
from chattmpl.cli.output import FOUND, OK, write

if TYPE_CHECKING:
    from chattmpl.compare.portability import EngineReport
    from chattmpl.engine import Missing


def _describe_engines() -> str:
    from chattmpl.engine import ENGINES

    return f"Engine to compare with: {', '.join(ENGINES)}. May be repeated. Default: all that are installed."


@command(
    "Comparing",
    "chattmpl engines my_template.jinja",
    "chattmpl engines qwen3 --engine minijinja",
)
@click.argument("template", metavar="TEMPLATE")
@CONVERSATIONS_TOO
@LIMIT
@click.option("--engine", "names", cls=LazyOption, describe=_describe_engines, multiple=True, metavar="NAME")
@click.option(
    "--target",
    type=click.Choice(("train", "inference")),
    help="Export to compare. Default: inference for a family, and the text as it is for anything else.",
)
@KWARGS
@RETENTION
@VARIANT
@tokenizer_option("Tokenizer for special tokens", "none")
@format_option("rich", "text", "json")
def engines(
    template: str,
    conversations: str | None,
    limit: int | None,
    names: tuple[str, ...],
    target: str | None,
    template_kwargs: dict[str, Any],
    retention: str | None,
    variant: str | None,
    tokenizer: str | None,
    form: str,
) -> int:
    """Render a template with other engines and find the construct that causes each difference.

    TEMPLATE is a family, a .jinja file, a model directory, a tokenizer_config.json or a GGUF file. The reference is
    Jinja2 with the settings of transformers. The exit code is 1 if an engine differs in a way that the family does not
    declare.
    """
    from chattmpl.compare.cases import cases, engine_probes, settings_of
    from chattmpl.compare.portability import compare, served
    from chattmpl.engine import Missing
    from chattmpl.engine import engines as available
    from chattmpl.probing.corpus import CLOCK
    from chattmpl.report.comparison import engines_json, engines_lines
    from chattmpl.report.lines import write_lines
    from chattmpl.template.template import Template

    loaded = Template.load(template, retention=retention, variant=variant)
    loaded = with_special_tokens(loaded, tokenizer_of(tokenizer))
    compared = compared_conversations(conversations, limit) + engine_probes()
    given = list(cases(compared, settings_of([loaded], template_kwargs)))
    found: list[EngineReport | Missing] = []
    for item in available(names, clock=CLOCK):
        if isinstance(item, Missing):
            found.append(item)
            continue
        with contextlib.closing(item):
            found.append(compare(loaded, item, given, target))
    source = served(loaded, target)
    if form == "json":
        write(engines_json(source.name, len(given), found))
    else:
        write_lines(engines_lines(source.name, len(given), found), form)
    return FOUND if any(not isinstance(item, Missing) and item.disagreed for item in found) else OK
