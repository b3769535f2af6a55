"""``chattmpl encode``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from chattmpl.cli.exit_codes import FOUND, OK, say
from chattmpl.cli.options import (
    CONTROL_TOKENS,
    FAST,
    MASK,
    SHAPES,
    STRADDLE,
    moment,
    template_kwargs,
    template_options,
)
from chattmpl.cli.progress import watching
from chattmpl.cli.training_template import training_template
from chattmpl.errors import UsageError

OVERFLOW = ("truncate-turns", "reject", "truncate-tokens", "split")
FORMATS = ("parquet", "arrow", "jsonl")
ENGINES = ("local", "ray")
"""The values that the library takes, known here without importing it."""


@click.command()
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id.")
@click.option("-o", "--output", metavar="OUT", help="A folder; one file, if it ends in .parquet, .arrow or .jsonl.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="By default what OUT ends in, else parquet.")
@click.option("--columns", metavar="NAMES", default="labels", show_default=True, help="Besides input_ids, with commas.")
@click.option("--set", "settings", metavar="NAME=JSON", multiple=True, help="A template kwarg; may be repeated.")
@click.option("--clock", metavar="ISO", help="What time the template is told that it is.")
@click.option("--shape", type=click.Choice(SHAPES), help="The shape of the data, where its keys do not show it.")
@click.option("--straddle", type=click.Choice(STRADDLE), default="include", help="Tokens across a span's edge.")
@click.option("--control-tokens", type=click.Choice(CONTROL_TOKENS), default="escape", help="Those in messages.")
@click.option("--mask", type=click.Choice(MASK), default="all", help="What is trained.")
@click.option("--max-length", type=click.IntRange(1), metavar="N", help="Most tokens of a row.")
@click.option("--overflow", type=click.Choice(OVERFLOW), default="truncate-turns", help="What becomes of longer rows.")
@click.option("--unroll", is_flag=True, help="A row for each turn that history renders otherwise than it was sampled.")
@click.option("--pack", type=click.IntRange(1), metavar="N", help="Pack rows to N tokens, by best fit decreasing.")
@click.option("--seed", type=int, help="Of the draw from a mixture.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each source.")
@click.option("--max-rejected", metavar="N|P%", default="0", show_default=True, help="More end with exit code 1.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes; one for each core by default.")
@click.option("--engine", type=click.Choice(ENGINES), default="local", help="Work here or on a Ray cluster.")
@click.option("--address", metavar="A", help="Of the Ray cluster; by default one of this machine alone.")
@click.option("--fast", type=click.Choice(FAST), default="auto", help="Whether to take the fast path.")
@click.option("--resume", is_flag=True, help="Go on with a job that was cut off.")
@click.option("--force", is_flag=True, help="Replace what is there.")
def encode(
    data: tuple[str, ...],
    template: str | None,
    retention: str | None,
    variant: str | None,
    tokenizer: str | None,
    output: str | None,
    form: str | None,
    columns: str,
    settings: tuple[str, ...],
    clock: str | None,
    max_rejected: str,
    workers: int | None,
    resume: bool,
    force: bool,
    **options: Any,
) -> int:
    """Encode data sets into rows that trainers take: input_ids, and labels with -100 where nothing is trained.

    DATA are .jsonl (also .gz and .zst), .json and .parquet files, folders of them or of the datasets library, patterns,
    or one mixture (.yaml or .toml). Rows that cannot be encoded go to OUT/rejected.jsonl with the reason, and
    summary.json counts all. Ends with exit code 1 if more rows are rejected than --max-rejected says.
    """
    for value, what in ((tokenizer, "--tokenizer"), (output, "-o OUT")):
        if value is None:
            raise UsageError(f"{what} is missing", hint="chattmpl encode DATA -t TEMPLATE --tokenizer T -o OUT")
    if not data:
        raise UsageError("nothing to encode", hint="chattmpl encode DATA -t TEMPLATE --tokenizer T -o OUT")
    if resume and force:
        raise UsageError("--resume and --force exclude each other", hint="drop one")
    try:
        import pyarrow  # noqa: F401 — what is missing is to be said before anything is read

        from chattmpl.data.job import Allowance
        from chattmpl.data.job import encode as run
    except ImportError as error:
        hint = "pip install 'chattmpl[data,fast]'"
        raise UsageError(f"encoding data sets needs {error.name}, which is not installed", hint=hint) from None
    from chattmpl.report.encoded import summary_text

    allowance = Allowance.parse(max_rejected)
    options |= {"template_kwargs": template_kwargs(settings), "clock": moment(clock)}
    options["columns"] = tuple(name.strip() for name in columns.split(",") if name.strip())
    chosen = training_template(template, retention, variant, must=True)
    with watching() as watcher, _stoppable():
        summary = run(
            data,
            chosen,
            tokenizer,
            str(output),
            form=form,
            workers=workers,
            resume=resume,
            force=force,
            watcher=watcher,
            **options,
        )
    click.echo(summary_text(summary.data))
    if summary.refused:
        say(f"rejected rows are in {summary.rejected}")
    return FOUND if summary.exceeds(allowance) else OK


@contextmanager
def _stoppable() -> Iterator[None]:
    """Makes a request to end the same as an interrupt: workers are ended, and what is done is kept."""

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
        say("what is done is kept: the same command with --resume goes on")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
