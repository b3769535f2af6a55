"""``chattmpl prove``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.options import RETENTION, command
from chattmpl.cli.output import FOUND, OK, Bars, note, require_packages, say
from chattmpl.errors import UsageError

SIZES = ("tiny", "default", "gpu")
PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "datasets", "trl")
"""Sizes of the proof, and packages that it imports, listed here so that they are known without importing it."""

USAGE = "chattmpl prove TEMPLATE --report DIR"


def _threshold(name: str, default: float, share: str) -> Callable[[Any], Any]:
    return click.option(
        f"--min-{name}",
        type=click.FloatRange(0, 1),
        metavar="X",
        default=default,
        help=f"Lowest accepted share of {share}.",
    )


@command(
    "Data and training",
    "chattmpl prove my_template.jinja --size tiny --report proof",
    long_running=True,
)
@click.argument("template", required=False)
@click.option("--report", metavar="DIR", help="Folder to write report.json, report.md and report.html with plots to.")
@click.option("--size", type=click.Choice(SIZES), default="default", help="Size of the model and of its data.")
@RETENTION
@click.option("--seed", type=int, metavar="N", default=0, help="Seed for the data, the weights and the order of rows.")
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Number of optimizer steps. Default: determined by the size."
)
@_threshold("parse", 0.95, "completions that parse")
@_threshold("stop", 0.98, "completions that end in a stop token")
@_threshold("switch", 0.9, "turns that follow the reasoning mode")
@_threshold("accuracy", 0.3, "right answers to tasks whose answer is in the prompt")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Format of the report on stdout."
)
def prove(
    template: str | None,
    report: str | None,
    size: str,
    retention: str | None,
    seed: int,
    steps: int | None,
    form: str,
    **shares: float,
) -> int:
    """Train a small model from scratch on a template, and measure whether it follows the template.

    TEMPLATE is a family, a .jinja file, a model directory, a tokenizer_config.json or a GGUF file. Without generation
    tags, it is annotated. Nothing is downloaded. The exit code is 1 if a measured share is below its threshold.
    """
    if template is None:
        raise UsageError("no template given", hint=USAGE)
    require_packages("chattmpl prove", PACKAGES, "train")
    from chattmpl.report import proof
    from chattmpl.template.template import Template
    from chattmpl.training.prove import Thresholds
    from chattmpl.training.prove import prove as run

    folder = None if report is None else Path(report)
    if folder is not None and folder.is_file():
        raise UsageError(f"--report {report} is a file", hint="pass a folder")
    thresholds = Thresholds(**{name.removeprefix("min_"): value for name, value in shares.items()})
    loaded = Template.load(template, retention=retention)
    with Bars(lines=True) as bars:
        found = run(loaded, size=size, seed=seed, steps=steps, thresholds=thresholds, progress=bars.update, note=note)
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        click.echo(proof.text(found))
    if folder is not None:
        written = proof.write(found, folder)
        say(f"wrote {', '.join(path.name for path in written)} to {folder}")
    return OK if found["trained"] else FOUND
