"""``chattmpl inspect``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from chattmpl.cli.inputs import tokenizer_beside, tokenizer_of
from chattmpl.cli.options import command, format_option, tokenizer_option
from chattmpl.cli.output import FOUND, OK, WRONG, Failures, write
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.capabilities.serving import Server
    from chattmpl.template.resolver import TemplateSource

SERVERS = ("vllm", "sglang", "llama.cpp")
"""The engines of `chattmpl.capabilities.serving`, listed here so that they are known without importing it."""


@command(
    "Using templates",
    "chattmpl inspect my_template.jinja qwen3",
    "chattmpl inspect path/to/model --server vllm",
)
@click.argument("paths", nargs=-1, metavar="TEMPLATE...")
@format_option("rich", "text", "markdown", "json")
@click.option(
    "--width",
    type=click.IntRange(min=40),
    metavar="N",
    help="Width of the tables in characters. Default: the width of the terminal, or 100.",
)
@click.option(
    "--server",
    type=click.Choice(SERVERS),
    help="Check what this engine needs instead: stop tokens, control tokens, parsers. Default: show what is supported.",
)
@click.option(
    "--tool-call-parser", metavar="NAME", help="Parser of tool calls that the --server is started with. Default: none."
)
@click.option(
    "--reasoning-parser", metavar="NAME", help="Parser of reasoning that the --server is started with. Default: none."
)
@tokenizer_option("Tokenizer for --server")
def inspect(
    paths: tuple[str, ...],
    form: str,
    width: int | None,
    server: Server | None,
    tool_call_parser: str | None,
    reasoning_parser: str | None,
    tokenizer: str | None,
) -> int:
    """Show what templates support: roles, tools, reasoning, modes, masks, parsers.

    TEMPLATE is a .jinja file, a folder, a glob pattern, a model directory, a tokenizer_config.json, a GGUF file or a
    family. The answers come from rendering small conversations; those that could not be evaluated are listed as such.
    The exit code is 1 if a template does not compile, or with --server if something does not fit.
    """
    from chattmpl.capabilities import inspect_template
    from chattmpl.report import capabilities as report
    from chattmpl.template.resolver import find_templates

    if not paths:
        raise UsageError(
            "no template given", hint="chattmpl inspect TEMPLATE, where TEMPLATE is a file, a folder or a family"
        )
    chosen = {"tool-call": tool_call_parser, "reasoning": reasoning_parser}
    if server in (None, "llama.cpp") and (any(chosen.values()) or (tokenizer is not None and server is None)):
        raise UsageError("parsers and a tokenizer need --server vllm or sglang", hint="name the engine with --server")
    failures = Failures()
    if server is not None:
        return _check_serving(find_templates(paths, failures), server, chosen, tokenizer, (form, width), failures)
    found = [inspect_template(item) for item in find_templates(paths, failures)]
    if failures.count and not found:
        return WRONG
    write(report.write(form, found, width))
    return failures.or_else(FOUND if any(item.error is not None for item in found) else OK)


def _check_serving(
    sources: Iterable[TemplateSource],
    server: Server,
    chosen: dict[str, str | None],
    tokenizer: str | None,
    form: tuple[str, int | None],
    failures: Failures,
) -> int:
    """Print what fits and what does not when an engine serves each template."""
    from chattmpl.capabilities.serving import check_serving, worst
    from chattmpl.report import serving as report

    loaded = tokenizer_of(tokenizer)
    found = []
    for source in sources:
        own, fitted = tokenizer_beside(source, loaded, failures)
        found.append((source.source.name, check_serving(fitted, server, own, chosen)))
    if failures.count and not found:
        return WRONG
    write(report.write(form[0], found, form[1]))
    return failures.or_else(OK if all(worst(checks) in (None, "info") for _, checks in found) else FOUND)
