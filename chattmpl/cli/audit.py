"""``chattmpl audit``."""

from typing import Any

import click

from chattmpl.cli.inputs import Templates, training_template
from chattmpl.cli.options import (
    EXIT_ZERO,
    check_arguments,
    codes_option,
    command,
    dataset_options,
    format_option,
    library_option,
    template_options,
    tokenizer_option,
)
from chattmpl.cli.output import FOUND, OK, job_progress, write, write_diagnostics
from chattmpl.cli.rule import explained_check
from chattmpl.errors import UsageError


def _shares(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """Parse ``--tolerate CODE=P%``."""
    shares = {}
    for part in given:
        code, _, value = part.partition("=")
        try:
            share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise UsageError(f"--tolerate {part}: expected CODE=P%", hint="as in --tolerate AU602=1%")
        shares[code] = share
    return shares


@command(
    "Data and training",
    "chattmpl audit chats.jsonl -t path/to/model --max-length 4096",
    "chattmpl audit --explain AU101",
)
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@tokenizer_option("Tokenizer")
@format_option("rich", "text", "json", "sarif", "github")
@codes_option("--select", "Checks or groups to run, as in AU101,AU3. May be repeated. Default: all.")
@codes_option("--ignore", "Checks or groups to skip. May be repeated.")
@click.option("--explain", metavar="CODE", help="Check to explain without running any, or 'all' to list all checks.")
@library_option("max_length")
@click.option(
    "--share-ratio",
    type=float,
    metavar="X",
    default=2.0,
    help="Smallest ratio to report between a source's share of tokens and its share of examples.",
)
@click.option(
    "--share-points",
    type=float,
    metavar="X",
    default=0.05,
    help="Smallest difference to report between a source's share of tokens and its share of examples.",
)
@click.option(
    "--hybrid/--no-hybrid",
    default=None,
    help="Expect both reasoning modes in the data, or only one. Default: inferred from the data.",
)
@click.option(
    "--tolerate",
    "tolerated",
    multiple=True,
    metavar="CODE=P%",
    callback=_shares,
    help="Share of rows up to which a check is only a note. May be repeated.",
)
@click.option(
    "--examples", type=click.IntRange(0), metavar="N", default=5, help="Number of rows to list for each finding."
)
@library_option("sample")
@dataset_options
@EXIT_ZERO
def audit(
    data: tuple[str, ...],
    templates: Templates,
    tokenizer: str | None,
    form: str,
    explain: str | None,
    exit_zero: bool,
    **options: Any,
) -> int:
    """Find defects of datasets before training: masks, prompts, reasoning modes, duplicates, tools.

    DATA is as for chattmpl encode. The exit code is 1 if there are errors or warnings; notes do not count.
    """
    if explain is not None:
        write(explained_check(explain))
        return OK
    tokenizer = tokenizer or templates.own_tokenizer
    check_arguments("chattmpl audit DATA -t TEMPLATE --tokenizer TOKENIZER", data, tokenizer=tokenizer)
    from chattmpl.data.audit import all_checks
    from chattmpl.data.audit import audit as run
    from chattmpl.printable import count, dumps
    from chattmpl.report.diagnostics import repeated

    chosen = training_template(templates, options["mask_from"])
    with job_progress() as watcher:
        report = run(data, chosen, tokenizer, watcher=watcher, **options)
    if form == "json":
        findings = [one.to_dict() for one in repeated(report.findings)]
        write(dumps({**report.to_dict(), "findings": findings}, indent=2) + "\n")
    else:
        rest = f" in {count(report.rows, 'row')}, {report.tokens:,} tokens"
        write_diagnostics(form, report.findings, all_checks(), tool="chattmpl audit", rest=rest)
    return FOUND if report.failed and not exit_zero else OK
