"""``chattmpl prove``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chattmpl.cli.exit_codes import FOUND, OK, say
from chattmpl.errors import UsageError

SIZES = ("tiny", "default", "gpu")
PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "datasets", "trl")
"""What the library has and needs, known here without importing it."""


@click.command()
@click.argument("template", required=False)
@click.option("--report", metavar="DIR", help="Write report.json, report.md and report.html with plots there.")
@click.option("--size", type=click.Choice(SIZES), default="default", show_default=True, help="Of model and data.")
@click.option("--retention", metavar="P", help="Which earlier reasoning traces are rendered.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the data, the weights and the order of rows.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Optimizer steps, if other than the size says.")
@click.option("--min-parse", type=click.FloatRange(0, 1), metavar="X", help="Least share of completions that parse.")
@click.option("--min-stop", type=click.FloatRange(0, 1), metavar="X", help="Least share that end in a stop token.")
@click.option("--min-switch", type=click.FloatRange(0, 1), metavar="X", help="Least share that follow the mode.")
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 1), metavar="X", help="Least share right, where the answer can be read."
)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="What to print.")
def prove(
    template: str | None,
    report: str | None,
    size: str,
    retention: str | None,
    seed: int,
    steps: int | None,
    form: str,
    **least: float | None,
) -> int:
    """Train a small model from scratch in a template, and measure whether it does what the template means.

    TEMPLATE is a family, or a folder with a template and its family.toml. Nothing is downloaded. Ends with exit code 1
    if the template did not train. docs/prove.md tells what is measured, and what came out for the families that ship.
    """
    if template is None:
        raise UsageError("nothing to prove", hint="chattmpl prove TEMPLATE --report DIR")
    run, thresholds = _library()
    from chattmpl.template.template import Template
    from chattmpl.training.prove import report as reporting

    folder = None if report is None else Path(report)
    if folder is not None and folder.is_file():
        raise UsageError(f"--report {report} is a file", hint="name a folder")
    limits = thresholds(**{name.removeprefix("min_"): value for name, value in least.items() if value is not None})
    loaded = Template.load(template, retention=retention)
    with _Bar() as watch:
        found = run(loaded, size=size, seed=seed, steps=steps, thresholds=limits, watch=watch)
    if form == "json":
        import json

        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        click.echo(reporting.text(found))
    if folder is not None:
        written = reporting.write(found, folder)
        say(f"wrote {', '.join(path.name for path in written)} to {folder}")
    return OK if found["trained"] else FOUND


def _library() -> tuple[Any, Any]:
    """What runs the experiment.

    Raises:
        UsageError: what it needs is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        hint = "pip install 'chattmpl[fast,train]'"
        raise UsageError(f"proving needs {', '.join(missing)}, which is not installed", hint=hint)
    from chattmpl.training.prove import Thresholds
    from chattmpl.training.prove import prove as run

    return run, Thresholds


class _Bar:
    """A bar on stderr for each phase, in a terminal; else a line."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Any:
        return self.step

    def step(self, phase: str, done: int, total: int) -> None:
        """So much of a phase is done."""
        if not self.shown:
            if phase not in self._tasks:
                self._tasks[phase] = None
                say(f"{phase} …")
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=total)
        self._bar.update(self._tasks[phase], completed=done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
