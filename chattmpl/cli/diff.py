"""``chattmpl diff``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.exit_codes import FOUND, OK
from chattmpl.cli.options import template_kwargs
from chattmpl.errors import UsageError


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.option("--since", metavar="REVISION", help="Compare A with what it was in this revision of git.")
@click.option("--conversations", metavar="FILE", help="Compare on these too, beside those that ship.")
@click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered, by both.")
@click.option("--variant", metavar="NAME", help="Which of several named templates, such as tool_use.")
@click.option("--set", "settings", multiple=True, metavar="NAME=JSON", help="A template kwarg, for both.")
@click.option("--tokenizer", metavar="T", help="Count the tokens that are trained, and check the laws about tokens.")
@click.option("--laws/--no-laws", default=True, help="Whether to compare the laws too, which takes longer.")
@click.option("--format", "form", type=click.Choice(("rich", "text", "json")), help="rich in a terminal, else text.")
def diff(
    before: str,
    after: str | None,
    since: str | None,
    conversations: str | None,
    retention: str | None,
    variant: str | None,
    settings: tuple[str, ...],
    tokenizer: str | None,
    laws: bool,
    form: str | None,
) -> int:
    """Tell what changes from template A to template B: texts, masks and laws, grouped by cause.

    A and B are what -t takes elsewhere, or REVISION:PATH in git. With --since there is only A.
    Ends with exit code 1 if anything changes.
    """
    from chattmpl.compare.cases import cases, named_conversations, settings_of
    from chattmpl.compare.revisions import at, load
    from chattmpl.compare.templates import diff as compare
    from chattmpl.compare.templates import law_differences
    from chattmpl.report.difference import difference_json, difference_lines
    from chattmpl.report.lines import write_lines

    if (after is None) == (since is None):
        raise UsageError(
            "a comparison needs two templates", hint="chattmpl diff A B, or chattmpl diff A --since HEAD~1"
        )
    given = named_conversations(conversations)
    kwargs = template_kwargs(settings)
    loaded = _loaded(tokenizer)
    options: dict[str, str | None] = {"retention": retention, "variant": variant}
    with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
        if since is not None:
            pair = (at(since, before, Path(folder), **options), load(before, Path(folder), **options))
        else:
            pair = (load(before, Path(folder), **options), load(after or "", Path(folder), **options))
        for name in kwargs:
            if not any(name in template.program.variables for template in pair):
                raise UsageError(f"neither template reads a kwarg {name!r}", hint="check its spelling")
        found = compare(*pair, cases(given, settings_of(pair, kwargs)), loaded)
        if laws:
            found.laws = law_differences(*pair, [conversation for _, conversation in given], loaded)
        if form == "json":
            sys.stdout.buffer.write(difference_json(found).encode())
            sys.stdout.buffer.flush()
        else:
            write_lines(difference_lines(found, len(given)), form)
    return OK if found.empty else FOUND


def _loaded(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from chattmpl.encode import load_tokenizer

    return load_tokenizer(tokenizer)
