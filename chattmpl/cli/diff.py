"""``chattmpl diff``."""

import tempfile
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.inputs import compared_conversations, tokenizer_of, with_special_tokens
from chattmpl.cli.options import (
    CONVERSATIONS_TOO,
    KWARGS,
    LIMIT,
    RETENTION,
    VARIANT,
    command,
    format_option,
    tokenizer_option,
)
from chattmpl.cli.output import FOUND, OK, write
from chattmpl.errors import UsageError


@command(
    "Comparing",
    "chattmpl diff old.jinja new.jinja",
    "chattmpl diff HEAD~1:my_template.jinja my_template.jinja",
    "chattmpl diff my_template.jinja --since HEAD~1",
)
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.option("--since", metavar="REVISION", help="Git revision of A to compare with A as it is now.")
@CONVERSATIONS_TOO
@LIMIT
@RETENTION
@VARIANT
@KWARGS
@tokenizer_option("Tokenizer for special tokens, for counting trained tokens and for the laws about tokens", "none")
@click.option("--laws/--no-laws", default=True, help="Compare the laws as well, which takes longer.")
@format_option("rich", "text", "json")
def diff(
    before: str,
    after: str | None,
    since: str | None,
    conversations: str | None,
    limit: int | None,
    retention: str | None,
    variant: str | None,
    template_kwargs: dict[str, Any],
    tokenizer: str | None,
    laws: bool,
    form: str,
) -> int:
    """Compare two templates: texts, masks and laws, with the changes grouped by cause.

    A and B are families, files, model directories, or REVISION:PATH in git. With --since there is no B. The exit code
    is 1 if anything changes.
    """
    from chattmpl.compare.cases import cases, settings_of
    from chattmpl.compare.revisions import at, load
    from chattmpl.compare.template_diff import diff as compare
    from chattmpl.compare.template_diff import law_differences
    from chattmpl.report.comparison import diff_json, diff_lines
    from chattmpl.report.lines import write_lines

    if (after is None) == (since is None):
        raise UsageError("expected two templates", hint="chattmpl diff A B, or chattmpl diff A --since HEAD~1")
    given = compared_conversations(conversations, limit)
    loaded = tokenizer_of(tokenizer)
    options: dict[str, str | None] = {"retention": retention, "variant": variant}
    with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
        if since is not None:
            pair = (at(since, before, Path(folder), **options), load(before, Path(folder), **options))
        else:
            pair = (load(before, Path(folder), **options), load(after or "", Path(folder), **options))
        pair = (with_special_tokens(pair[0], loaded), with_special_tokens(pair[1], loaded))
        for name in template_kwargs:
            if not any(name in template.program.variables for template in pair):
                raise UsageError(f"neither template reads a kwarg {name!r}", hint="check its spelling")
        found = compare(*pair, cases(given, settings_of(pair, template_kwargs)), loaded)
        if laws:
            found.laws = law_differences(*pair, [conversation for _, conversation in given], loaded)
        if form == "json":
            write(diff_json(found))
        else:
            write_lines(diff_lines(found, len(given)), form)
    return OK if found.empty else FOUND
