"""``chattmpl encode``."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

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
from chattmpl.cli.output import FOUND, FULL, OK, job_progress, require_packages, say
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.data.job import Summary


def _refuse_unroll(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        raise UsageError(
            "--unroll is the default now, as --rows auto", option="unroll", hint="drop it, or use --rows unroll"
        )


def _refuse_row(context: click.Context, parameter: click.Parameter, given: str | None) -> None:
    if given is not None:
        hint = f"chattmpl render DATA --row {given} --tokenizer TOKENIZER shows one row; --limit N encodes the first N"
        raise UsageError("encode has no --row", option="row", hint=hint)


@command(
    "Data and training",
    "chattmpl encode chats.jsonl -t path/to/model -o rows",
    "chattmpl encode chats.jsonl -t qwen3 --tokenizer path/to/model -o short --max-length 4096",
    "chattmpl encode mixture.yaml -t hybrid --tokenizer demo -o packed --pack 4096 --max-rejected 1%",
)
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@tokenizer_option("Tokenizer")
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
@library_option("max_length")
@library_option("overflow")
@click.option(
    "--unroll", is_flag=True, hidden=True, expose_value=False, callback=_refuse_unroll, help="Replaced by --rows."
)
@click.option("--row", hidden=True, expose_value=False, callback=_refuse_row, help="Option of chattmpl render.")
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
    with job_progress() as watcher, _stoppable(str(output)):
        summary = encode_dataset(
            data, chosen, tokenizer, str(output), resume=resume, force=force, watcher=watcher, **options
        )
    click.echo(summary_text(summary.data))
    if summary.rejected_rows:
        first, hint = summary.first_rejected()
        say(f"rejected rows are in {summary.rejected}; the first is {first}")
        if hint:
            say(f"hint: {hint}")
    if summary.exceeds(allowance):
        say(f"the exit code is 1, because more rows were rejected than --max-rejected {max_rejected} allows")
    if summary.data["rows"]["written"]:
        say(_next(summary, data, templates.given or chosen.name, tokenizer))
    return FOUND if summary.exceeds(allowance) else OK


def _next(summary: Summary, data: Sequence[str], template: str, tokenizer: str | None) -> str:
    """Return the lines that name the files, and what to do with them."""
    files = summary.files
    first, form = files[0], {".jsonl": "json", ".arrow": "arrow"}.get(files[0].suffix, "parquet")
    where = str(first) if summary.single else f"{len(files)} file{'s' if len(files) > 1 else ''} in {first.parent}"
    loaded = f"{form!r}, data_files={str(first)!r}" if summary.single else repr(str(first.parent))
    return (
        f"wrote {where}; the counts are in {summary.path}\n"
        f"next: datasets.load_dataset({loaded}) gives rows for trl's SFTTrainer, and\n"
        f"      chattmpl audit {' '.join(map(shlex.quote, data))} -t {shlex.quote(template)} "
        f"--tokenizer {shlex.quote(str(tokenizer))} finds defects of the data"
    )


@contextmanager
def _stoppable(output: str) -> Iterator[None]:
    """Treat other signals as an interrupt, so that workers are stopped, and say how to continue with finished work.

    Raises:
        UsageError: if the disk is full.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            before.setdefault(number, signal.signal(number, stop))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        say(f"finished work is kept in {output}: run the same command with --resume to continue")
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        hint = "finished work is kept: free some space, and run the same command with --resume"
        raise UsageError(f"{error.filename or output}: {str(error.strerror).lower()}", hint=hint) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
