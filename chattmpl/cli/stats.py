"""``chattmpl stats``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.exit_codes import OK
from chattmpl.cli.options import encoding_options, moment, template_kwargs, template_options
from chattmpl.cli.progress import watching
from chattmpl.cli.training_template import training_template
from chattmpl.errors import UsageError

FORMS = ("rich", "text", "markdown", "csv", "json")


@click.command()
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id.")
@click.option("--format", "form", type=click.Choice(FORMS), help="By default rich in a terminal, else text.")
@click.option("-o", "--output", metavar="FILE", help="Write there; .md, .csv and .json say the format.")
@click.option("--plot", metavar="FILE", help="Also draw lengths and shares, as .svg or .png.")
@click.option("--batch-size", "batch_sizes", type=click.IntRange(1), multiple=True, metavar="N", help="For padding.")
@click.option("--pack", type=click.IntRange(1), metavar="N", help="Tokens of a packed row.")
@encoding_options
@click.option("--seed", type=int, help="Of the draw from a mixture.")
def stats(
    data: tuple[str, ...],
    template: str | None,
    retention: str | None,
    variant: str | None,
    tokenizer: str | None,
    form: str | None,
    output: str | None,
    plot: str | None,
    batch_sizes: tuple[int, ...],
    settings: tuple[str, ...],
    clock: str | None,
    workers: int | None,
    **options: Any,
) -> int:
    """Tell what data sets hold: examples and tokens by source and reasoning mode, lengths, padding.

    DATA is as for chattmpl encode; of a mixture, the rows that it draws are counted. docs/stats.md defines each figure.
    """
    usage = "chattmpl stats DATA -t TEMPLATE --tokenizer T"
    if not data:
        raise UsageError("nothing to count", hint=usage)
    if tokenizer is None:
        raise UsageError("--tokenizer is missing", hint=usage)
    form = _form(form, output)
    for path in filter(None, (output, plot)):
        _refuse_input(path, data)
    from chattmpl.data.stats import BATCH_SIZES
    from chattmpl.data.stats import stats as count
    from chattmpl.data.stats.plot import check_plot, save_plot

    if plot is not None:
        check_plot(plot)
    options |= {"template_kwargs": template_kwargs(settings), "clock": moment(clock)}
    chosen = training_template(template, retention, variant, must=False)
    sizes = batch_sizes or BATCH_SIZES
    with watching() as watcher:
        found = count(data, chosen, tokenizer, batch_sizes=sizes, workers=workers, watcher=watcher, **options)
    figures = found.to_dict()
    if plot is not None:
        save_plot(figures, plot)
    _write(figures, form, output)
    return OK


_BY_SUFFIX = {".md": "markdown", ".csv": "csv", ".json": "json", ".txt": "text"}


def _form(form: str | None, output: str | None) -> str | None:
    """The format: what is asked for, else what the file's name says."""
    if output is None or form is not None:
        return form
    suffix = Path(output).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise UsageError(f"{output} does not say a format", hint=f"end it with {', '.join(_BY_SUFFIX)}, or --format")
    return _BY_SUFFIX[suffix]


def _refuse_input(path: str, data: tuple[str, ...]) -> None:
    """Says so where a file that is read would be replaced."""
    if not Path(path).exists():
        return
    from chattmpl.data.job.inputs import mixture_of
    from chattmpl.data.sources import find_files, refuse_replacing

    files = [file.path for source in mixture_of(data).sources for name in source.paths for file in find_files(name)]
    refuse_replacing([path], [*data, *files])


def _write(figures: dict[str, Any], form: str | None, output: str | None) -> None:
    from chattmpl.report import stats as report
    from chattmpl.report.lines import plain, write_lines

    writers = {"markdown": report.markdown, "csv": report.csv_text, "json": report.json_text}
    if form in writers:
        text = writers[form](figures)
    else:
        width = shutil.get_terminal_size().columns if output is None else 120
        lines = report.lines(figures, width)
        if output is None:
            write_lines(lines, form)
            return
        text = plain(lines)
    if output is not None:
        Path(output).write_text(text, encoding="utf-8", newline="")
        return
    sys.stdout.buffer.write(text.encode("utf-8", errors="backslashreplace"))
    sys.stdout.buffer.flush()
