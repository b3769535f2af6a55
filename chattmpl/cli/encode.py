"""``chattmpl encode``."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from chattmpl.cli.inputs import Templates, training_template
from chattmpl.cli.options import (
    check_arguments,
    command,
    dataset_options,
    library_option,
    template_options,
    tokenizer_option,
)
from chattmpl.cli.output import FOUND, OK, job_progress, require_packages, say
from chattmpl.errors import UsageError


def _refuse_unroll(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        raise UsageError(
            "--unroll is the default now, as --rows auto", option="unroll", hint="drop it, or use --rows unroll"
        )


@command("Data and training", long_running=True)
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@tokenizer_option("Tokenizer", default=None)
@click.option(
    "-o", "--output", metavar="OUT", help="Folder to write, or one .parquet, .arrow or .jsonl file. Required."
)
@library_option("form", "--format", "form")
@click.option(
    "--columns",
    metavar="NAMES",
    default="labels",
    callback=lambda context, parameter, text: tuple(filter(None, map(str.strip, text.split(",")))),
    help="Columns to write in addition to input_ids, separated by commas.",
)
@dataset_options
@library_option("rows")
@library_option("max_length")
@library_option("overflow")
@click.option(
    "--unroll", is_flag=True, hidden=True, expose_value=False, callback=_refuse_unroll, help="Replaced by --rows."
)
@library_option("pack")
@click.option(
    "--max-rejected",
    metavar="N|P%",
    default="0",
    help="Number or share of rejected rows above which the exit code is 1.",
)
@library_option("engine")
@click.option(
    "--address", metavar="ADDRESS", help="Address of the Ray cluster. Default: a new cluster on this machine."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted job.")
@click.option("--force", is_flag=True, help="Replace the output of an earlier job.")
def encode(
    data: tuple[str, ...],
    templates: Templates,
    tokenizer: str | None,
    output: str | None,
    max_rejected: str,
    resume: bool,
    force: bool,
    **options: Any,
) -> int:
    """Encode datasets into rows for trainers: input_ids, and labels with -100 for untrained tokens.

    DATA are .jsonl (also .gz and .zst), .json and .parquet files, folders of these or of the datasets library, glob
    patterns, or one mixture (.yaml or .toml). Rows that cannot be encoded are written to OUT/rejected.jsonl with the
    reason; all counts are in summary.json. The exit code is 1 if more rows are rejected than --max-rejected allows.
    """
    tokenizer = tokenizer or templates.own_tokenizer
    usage = "chattmpl encode DATA -t TEMPLATE --tokenizer TOKENIZER -o OUT"
    check_arguments(usage, data, tokenizer=tokenizer, output=output)
    if resume and force:
        raise UsageError("--resume and --force are mutually exclusive", hint="remove one of them")
    require_packages("chattmpl encode", ("numpy", "pyarrow"), "data")
    from chattmpl.data.job import RejectionLimit, encode_dataset
    from chattmpl.report.encoded import summary_text

    allowance = RejectionLimit.parse(max_rejected)
    chosen = training_template(templates, options["mask_from"])
    with job_progress() as watcher, _stoppable():
        summary = encode_dataset(
            data, chosen, tokenizer, str(output), resume=resume, force=force, watcher=watcher, **options
        )
    click.echo(summary_text(summary.data))
    if summary.rejected_rows:
        say(f"rejected rows are in {summary.rejected}")
    return FOUND if summary.exceeds(allowance) else OK


@contextmanager
def _stoppable() -> Iterator[None]:
    """Treat SIGTERM as an interrupt, so that workers are stopped and finished work is kept."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        say("finished work is kept: run the same command with --resume to continue")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
