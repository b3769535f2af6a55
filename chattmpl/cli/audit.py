"""``chattmpl audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chattmpl import __version__
from chattmpl.cli.inputs import training_template
from chattmpl.cli.options import (
    codes,
    command,
    dataset_options,
    format_option,
    parse_clock,
    template_kwargs,
    template_options,
    tokenizer_option,
)
from chattmpl.cli.output import FOUND, OK, job_progress, write
from chattmpl.cli.rule import explained_check
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.data.audit import AuditReport


@command("Data and training", long_running=True)
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@tokenizer_option("Tokenizer (required)")
@format_option("rich", "text", "json", "sarif", "github")
@click.option("--select", multiple=True, metavar="CODES", help="Run only these checks or groups, as in AU101,AU3.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Skip these checks or groups.")
@click.option("--explain", metavar="CODE", help="Explain a check, or list all checks with 'all', and exit.")
@click.option(
    "--max-length", type=click.IntRange(1), metavar="N", help="Limit of tokens per row in training. Default: no limit."
)
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
    help="Smallest difference to report between the same two shares.",
)
@click.option(
    "--hybrid/--no-hybrid",
    default=None,
    help="Expect both reasoning modes in the data, or only one. Default: inferred from the data.",
)
@click.option(
    "--tolerate",
    multiple=True,
    metavar="CODE=P%",
    help="Report a check as a note up to this share of rows. May be repeated.",
)
@click.option(
    "--examples", type=click.IntRange(0), metavar="N", default=5, help="Number of rows to list for each finding."
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Number of rows to sample from each source. Default: all rows.",
)
@dataset_options
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Number of worker processes. Default: automatic.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
def audit(
    data: tuple[str, ...],
    template: str | None,
    retention: str | None,
    variant: str | None,
    tokenizer: str | None,
    form: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    explain: str | None,
    tolerate: tuple[str, ...],
    settings: tuple[str, ...],
    clock: str | None,
    exit_zero: bool,
    **options: Any,
) -> int:
    """Find defects of datasets before training: masks, prompts, reasoning modes, duplicates, tools.

    DATA is as for chattmpl encode. The exit code is 1 if there are errors or warnings; notes do not count.
    """
    if explain is not None:
        write(explained_check(explain))
        return OK
    usage = "chattmpl audit DATA -t TEMPLATE --tokenizer TOKENIZER"
    if not data:
        raise UsageError("no data given", hint=usage)
    if tokenizer is None:
        raise UsageError("--tokenizer is missing", hint=usage)
    from chattmpl.data.audit import audit as run

    options |= {
        "template_kwargs": template_kwargs(settings),
        "clock": parse_clock(clock),
        "tolerated": _shares(tolerate),
    }
    chosen = training_template(template, retention, variant, must=False)
    with job_progress() as watcher:
        report = run(data, chosen, tokenizer, select=codes(select), ignore=codes(ignore), watcher=watcher, **options)
    _show(report, form)
    return FOUND if report.failed and not exit_zero else OK


def _shares(given: tuple[str, ...]) -> dict[str, float]:
    """Parse the shares of ``--tolerate CODE=P%``."""
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


def _show(report: AuditReport, form: str | None) -> None:
    from chattmpl.data.audit import all_checks
    from chattmpl.printable import dumps
    from chattmpl.report import diagnostics
    from chattmpl.report.lines import count, write_lines

    if form == "json":
        write(dumps(report.to_dict(), indent=2) + "\n")
    elif form == "github":
        write(diagnostics.github(report.findings))
    elif form == "sarif":
        write(diagnostics.sarif(report.findings, all_checks(), __version__, "chattmpl audit"))
    else:
        rest = f" in {count(report.rows, 'row')}, {report.tokens:,} tokens"
        write_lines(diagnostics.lines(report.findings, rest), form)
