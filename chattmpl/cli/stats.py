"""``chattmpl stats``."""

import shutil
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.inputs import Templates, training_template
from chattmpl.cli.options import (
    check_arguments,
    command,
    dataset_options,
    format_option,
    template_options,
    tokenizer_option,
)
from chattmpl.cli.output import OK, job_progress, write, write_file
from chattmpl.errors import UsageError

_BY_SUFFIX = {".md": "markdown", ".csv": "csv", ".json": "json", ".txt": "text"}


@command(
    "Data and training",
    "chattmpl stats chats.jsonl -t path/to/model",
    "chattmpl stats chats.jsonl -t qwen3 --tokenizer demo -o stats.md --plot stats.svg",
)
@click.argument("data", nargs=-1, metavar="DATA...")
@template_options
@tokenizer_option("Tokenizer")
@format_option("rich", "text", "markdown", "csv", "json", by_suffix=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write. The suffixes .md, .csv, .json and .txt choose the format. Default: stdout.",
)
@click.option("--plot", metavar="FILE", help="SVG file to write a plot of lengths and shares to.")
@click.option(
    "--batch-size",
    "batch_sizes",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Batch size to compute padding for. May be repeated. Default: 8 and 32.",
)
@click.option(
    "--pack", type=click.IntRange(1), metavar="N", help="Number of tokens per packed row to compute padding for."
)
@dataset_options
def stats(
    data: tuple[str, ...],
    templates: Templates,
    tokenizer: str | None,
    form: str | None,
    output: str | None,
    plot: str | None,
    batch_sizes: tuple[int, ...],
    **options: Any,
) -> int:
    """Count examples and tokens of datasets by source and reasoning mode, with lengths and padding.

    DATA is as for chattmpl encode; of a mixture, the rows that it samples are counted.
    """
    tokenizer = tokenizer or templates.own_tokenizer
    check_arguments("chattmpl stats DATA -t TEMPLATE --tokenizer TOKENIZER", data, tokenizer=tokenizer)
    form = _format(form, output)
    for path in filter(None, (output, plot)):
        _refuse_input(path, data)
    from chattmpl.data.stats import BATCH_SIZES
    from chattmpl.data.stats import stats as count
    from chattmpl.report.stats import check_plot
    from chattmpl.report.stats import plot as plot_svg

    if plot is not None:
        check_plot(plot)
    chosen = training_template(templates, options["mask_from"])
    sizes = batch_sizes or BATCH_SIZES
    with job_progress() as watcher:
        found = count(data, chosen, tokenizer, batch_sizes=sizes, watcher=watcher, **options)
    figures = found.to_dict()
    if plot is not None:
        write_file(plot, plot_svg(figures))
    _write(figures, form, output)
    return OK


def _format(form: str | None, output: str | None) -> str | None:
    """Return the format that was asked for, or else the one of the file's suffix."""
    if output is None or form is not None:
        return form
    suffix = Path(output).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise UsageError(
            f"{output}: unknown format {suffix or '(no suffix)'}",
            hint=f"end it with {', '.join(_BY_SUFFIX)}, or use --format",
        )
    return _BY_SUFFIX[suffix]


def _refuse_input(path: str, data: tuple[str, ...]) -> None:
    """Raise an error if writing a file would replace one of the inputs."""
    if not Path(path).exists():
        return
    from chattmpl.data.job.plan import read_mixture
    from chattmpl.data.sources import find_files, refuse_replacing

    files = [file.path for source in read_mixture(data).sources for name in source.paths for file in find_files(name)]
    refuse_replacing([path], [*data, *files])


def _write(figures: dict[str, Any], form: str | None, output: str | None) -> None:
    from chattmpl.report import stats as report
    from chattmpl.report.lines import plain, write_lines

    writers = {"markdown": report.markdown, "csv": report.csv_text, "json": report.json_text}
    if output is None and form not in writers:
        write_lines(report.lines(figures, shutil.get_terminal_size().columns), form)
        return
    text = writers[form](figures) if form in writers else plain(report.lines(figures, 120))
    if output is None:
        write(text)
    else:
        write_file(output, text)
