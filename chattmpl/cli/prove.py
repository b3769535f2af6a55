"""``chattmpl prove``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.output import FOUND, OK, say
from chattmpl.errors import UsageError

SIZES = ("tiny", "default", "gpu")
PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "datasets", "trl")
"""Sizes of the proof, and packages that it imports, listed here so that they are known without importing it."""

USAGE = "chattmpl prove TEMPLATE --report DIR"

_share = click.FloatRange(0, 1)


@command("Data and training", long_running=True)
@click.argument("template", required=False)
@click.option(
    "--report", metavar="DIR", help="Write report.json, report.md and report.html with plots into this folder."
)
@click.option(
    "--size", type=click.Choice(SIZES), default="default", show_default=True, help="Size of the model and of its data."
)
@click.option("--retention", metavar="P", help="Reasoning to render in earlier turns; that of the template by default.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed for the data, the weights and the order of rows."
)
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Number of optimizer steps; that of the size by default."
)
@click.option("--min-parse", type=_share, metavar="X", help="Lowest share of completions that parse [default: 0.95].")
@click.option(
    "--min-stop", type=_share, metavar="X", help="Lowest share of completions that end in a stop token [default: 0.98]."
)
@click.option(
    "--min-switch", type=_share, metavar="X", help="Lowest share of turns that follow the mode [default: 0.9]."
)
@click.option(
    "--min-accuracy",
    type=_share,
    metavar="X",
    help="Lowest share of right answers to tasks whose answer is in the prompt [default: 0.3].",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Format of the output.",
)
def prove(
    template: str | None,
    report: str | None,
    size: str,
    retention: str | None,
    seed: int,
    steps: int | None,
    form: str,
    **shares: float | None,
) -> int:
    """Train a small model from scratch in a template, and measure whether it does what the template means.

    TEMPLATE is a family, or a folder with a template and its family.toml. Nothing is downloaded. The exit code is 1 if
    the template did not train, which means that a share is below its threshold.
    """
    if template is None:
        raise UsageError("no template given", hint=USAGE)
    _check_packages()
    from chattmpl.report import proof
    from chattmpl.template.template import Template
    from chattmpl.training.prove import Thresholds
    from chattmpl.training.prove import prove as run

    folder = None if report is None else Path(report)
    if folder is not None and folder.is_file():
        raise UsageError(f"--report {report} is a file", hint="pass a folder")
    thresholds = Thresholds(**{name.removeprefix("min_"): value for name, value in shares.items() if value is not None})
    loaded = Template.load(template, retention=retention)
    with _Progress() as progress:
        found = run(loaded, size=size, seed=seed, steps=steps, thresholds=thresholds, progress=progress.update)
    if form == "json":
        import json

        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        click.echo(proof.text(found))
    if folder is not None:
        written = proof.write(found, folder)
        say(f"wrote {', '.join(path.name for path in written)} to {folder}")
    return OK if found["trained"] else FOUND


def _check_packages() -> None:
    """Check that the packages that the proof imports are installed.

    Raises:
        UsageError: some are not.
    """
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        hint = "pip install 'chattmpl[fast,train]'"
        raise UsageError(f"prove requires packages that are not installed: {', '.join(missing)}", hint=hint)


class _Progress:
    """Progress of the phases on stderr: a bar for each in a terminal, else a line."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Progress:
        return self

    def update(self, phase: str, done: int, total: int) -> None:
        """Show what is done of a phase."""
        if not self.terminal:
            if phase not in self._tasks:
                self._tasks[phase] = None
                say(f"{phase} …")
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._progress.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
