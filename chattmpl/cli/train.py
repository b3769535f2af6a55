"""``chattmpl train``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.exit_codes import FOUND, OK, WRONG, say
from chattmpl.errors import ChatTmplError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from chattmpl.training.run.config import Config
    from chattmpl.training.run.progress import Watcher
    from chattmpl.training.run.run import Outcome

PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "datasets", "trl", "accelerate")
"""What the library needs, known here without importing it."""

USAGE = "chattmpl train CONFIG.yaml"


@click.command()
@click.argument("config", required=False, metavar="CONFIG.yaml")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As in trainer.learning_rate=1e-4.")
@click.option(
    "--resume",
    type=click.Choice(("auto", "never")),
    default="auto",
    show_default=True,
    help="Go on with a run that was cut off, or refuse to.",
)
@click.option("--force", is_flag=True, help="Forget what an earlier run left in the output, and start anew.")
@click.option("--dry-run", is_flag=True, help="Encode, count and audit the data; do not train.")
def train(config: str | None, settings: tuple[str, ...], resume: str, force: bool, dry_run: bool) -> int:
    """Train a model on what a template says: data, audit, checkpoints, and the template saved with the model.

    docs/training.md tells what the configuration holds. With several devices or machines:
    accelerate launch -m chattmpl train CONFIG.yaml. Ends with exit code 1 if the audit finds that something else would
    be trained than the template says.
    """
    if config is None:
        raise UsageError("nothing to train", hint=USAGE)
    first = os.environ.get("RANK", "0") == "0"
    _check_packages()
    from chattmpl.training.run.config import load_config

    try:
        said, read = load_config(config, settings)
    except ChatTmplError:
        if first:
            raise
        return WRONG
    from chattmpl.training.adapter import AuditError
    from chattmpl.training.run.process_group import Elsewhere
    from chattmpl.training.run.run import train as run

    try:
        with _watching() as watcher:
            outcome = run(said, read, resume=resume, force=force, dry_run=dry_run, watcher=watcher)
    except Elsewhere:
        return WRONG
    except AuditError as error:
        say(f"error: {error}")
        return FOUND
    except KeyboardInterrupt:
        if first:
            say("what is done is kept: the same command goes on from the last checkpoint")
        raise
    if outcome.first:
        click.echo(_summary(outcome, said))
    return OK


def _check_packages() -> None:
    """Says what is missing before anything is read.

    Raises:
        UsageError: something is.
    """
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        hint = "pip install 'chattmpl[fast,train]'"
        raise UsageError(f"training needs {', '.join(missing)}, which is not installed", hint=hint)


def _summary(outcome: Outcome, config: Config) -> str:
    """What a person is told in the end."""
    from chattmpl.printable import visible
    from chattmpl.report.lines import count

    folder = outcome.folder
    if outcome.state == "checked":
        return f"dry run: all is ready for the first step; nothing was trained. The rows are in {folder / 'rows'}"
    trained = outcome.record["trained"]
    said = ["this run was finished before"] if outcome.state == "finished before" else []
    loss = f"loss {trained['first_loss']:.4f} at first, {trained['loss']:.4f} at last" if trained["loss"] else "no loss"
    if trained["eval_loss"] is not None:
        loss += f", {trained['eval_loss']:.4f} of eval_data"
    said += [
        f"trained {count(trained['steps'], 'step')} ({trained['epochs']:.2f} epochs): {loss}, "
        f"{count(trained['supervised_tokens'], 'supervised token')}",
        f"model: {folder}, with the template that it is served with (chat_template.jinja)",
        f"serve it:   {_serving(folder, config)}",
        f"look at it: chattmpl inspect {folder}",
    ]
    return visible("\n".join(said))


def _serving(folder: Path, config: Config) -> str:
    """How a model is served: adapters stand on the model that they were trained on."""
    if config.lora is None or config.lora.get("merge"):
        return f"vllm serve {folder}"
    return (
        f"vllm serve {config.model.path} --tokenizer {folder} --generation-config {folder} --enable-lora "
        f"--lora-modules {folder.name}={folder} (these are adapters alone; lora.merge: true saves the whole model)"
    )


@contextmanager
def _watching() -> Iterator[Watcher]:
    """Tables go to stdout; how the run goes on, to stderr: a bar in a terminal, else a line now and then."""
    from chattmpl.printable import visible
    from chattmpl.training.run.progress import Watcher

    class Lines(Watcher):
        def note(self, text: str) -> None:
            say(f"note: {text}")

        def show(self, text: str) -> None:
            click.echo(visible(text) + "\n")

        def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
            if logs:
                say(_logged(done, total, logs))

    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:

        class Bar(Lines):
            task = progress.add_task("reading", total=None)

            def note(self, text: str) -> None:
                progress.console.print(visible(f"note: {text}"), markup=False, highlight=False)

            def begins(self, what: str, total: int, done: int) -> None:
                progress.reset(self.task, total=total, completed=done, description=what)

            def advances(self, weight: int, counts: dict[str, Any]) -> None:
                progress.update(self.task, advance=weight)

            def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
                progress.update(self.task, total=total, completed=done)
                if "loss" in logs:
                    progress.update(self.task, description=f"training, loss {float(logs['loss']):.4f}")

        yield Bar()


def _logged(done: int, total: int, logs: Mapping[str, Any]) -> str:
    said = [f"step {done:,} of {total:,}"]
    for name, words in (("loss", "loss"), ("eval_loss", "loss of eval_data")):
        if name in logs:
            said.append(f"{words} {float(logs[name]):.4f}")
    if "learning_rate" in logs:
        said.append(f"learning rate {float(logs['learning_rate']):.2e}")
    if "supervised_total" in logs:
        said.append(f"{int(logs['supervised_total']):,} supervised tokens")
    return ", ".join(said)
