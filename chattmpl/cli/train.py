"""``chattmpl train``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from chattmpl.cli.options import command
from chattmpl.cli.output import FOUND, OK, WRONG, require_packages, say
from chattmpl.errors import ChatTmplError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from chattmpl.data.job import JobNote, Phase
    from chattmpl.training.adapter import BatchAudit
    from chattmpl.training.config import TrainConfig
    from chattmpl.training.run import TrainResult
    from chattmpl.training.trainer import RunWatcher

PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "datasets", "trl", "accelerate")
"""Packages that training imports, listed here so that they can be checked without importing it."""

USAGE = "chattmpl train CONFIG.yaml"
_WIDTH = 110


@command(
    "Data and training",
    "chattmpl train config.yaml --dry-run",
    "chattmpl train config.yaml --set trainer.learning_rate=1e-4",
    long_running=True,
)
@click.argument("config", required=False, metavar="CONFIG.yaml")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Key of the configuration to override, as in trainer.learning_rate=1e-4. May be repeated.",
)
@click.option(
    "--resume",
    type=click.Choice(("auto", "never")),
    default="auto",
    help="Resume an interrupted run, or stop with an error if there is one.",
)
@click.option("--force", is_flag=True, help="Delete what an earlier run left in the output folder, and start over.")
@click.option("--dry-run", is_flag=True, help="Encode, count and audit the data without training.")
def train(
    config: str | None, settings: tuple[str, ...], resume: Literal["auto", "never"], force: bool, dry_run: bool
) -> int:
    """Train a model on what a template renders, from the data to a model saved with its template.

    CONFIG.yaml needs the keys data, template, model and output; the page "Training" of the documentation lists all
    keys. On several devices or machines, run accelerate launch -m chattmpl train CONFIG.yaml. The exit code is 1 if the
    audit before training finds that other tokens would be trained than the template marks.
    """
    if config is None:
        raise UsageError("no configuration given", hint=USAGE)
    is_main = os.environ.get("RANK", "0") == "0"
    require_packages("chattmpl train", PACKAGES, "train")
    from chattmpl.training.config import load_config

    try:
        loaded, read = load_config(config, settings)
    except ChatTmplError:
        if is_main:
            raise
        return WRONG
    from chattmpl.training.adapter import BatchAuditError
    from chattmpl.training.process_group import OtherProcessFailed
    from chattmpl.training.run import train as run

    try:
        with _progress() as watcher:
            result = run(loaded, read, resume=resume, force=force, dry_run=dry_run, watcher=watcher)
    except OtherProcessFailed:
        return WRONG
    except BatchAuditError as error:
        say(f"error: {error}")
        return FOUND
    except KeyboardInterrupt:
        if is_main:
            say("interrupted; run the same command again to resume from the last checkpoint")
        raise
    if result.is_main:
        click.echo(_summary(result, loaded))
    return OK


def _summary(result: TrainResult, config: TrainConfig) -> str:
    from chattmpl.printable import count, visible

    folder = result.folder
    if result.state == "dry run":
        return f"dry run: ready to train; nothing was trained. The encoded rows are in {folder / 'rows'}"
    trained = result.record["trained"]
    lines = ["an earlier run finished the training"] if result.state == "finished before" else []
    loss = f"first loss {trained['first_loss']:.4f}, last loss {trained['loss']:.4f}" if trained["loss"] else "no loss"
    if trained["eval_loss"] is not None:
        loss += f", loss on eval_data {trained['eval_loss']:.4f}"
    lines += [
        f"trained {count(trained['steps'], 'step')} ({trained['epochs']:.2f} epochs): {loss}, "
        f"{count(trained['supervised_tokens'], 'supervised token')}",
        f"model:   {folder}, with its template in chat_template.jinja",
        f"serve:   {_serve_command(folder, config)}",
        f"inspect: chattmpl inspect {folder}",
    ]
    return visible("\n".join(lines))


def _serve_command(folder: Path, config: TrainConfig) -> str:
    """Return the command that serves the model; adapters are served on top of the model they were trained on."""
    if config.lora is None or config.lora.get("merge"):
        return f"vllm serve {folder}"
    return (
        f"vllm serve {config.model.path} --tokenizer {folder} --generation-config {folder} --enable-lora "
        f"--lora-modules {folder.name}={folder} (only adapters were saved; lora.merge: true saves the whole model)"
    )


@contextmanager
def _progress() -> Iterator[RunWatcher]:
    """Print tables to stdout, and progress to stderr: a bar in a terminal, else lines."""
    from chattmpl.printable import visible
    from chattmpl.report import stats
    from chattmpl.report.encoded import note_text, summary_text
    from chattmpl.report.lines import plain
    from chattmpl.training.trainer import RunWatcher

    def show(text: str) -> None:
        click.echo(visible(text) + "\n")

    class Lines(RunWatcher):
        def note(self, note: JobNote) -> None:
            self.notice(note_text(note))

        def notice(self, text: str) -> None:
            say(f"note: {text}")

        def encoded(self, figures: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
            show(plain(stats.lines(figures, _WIDTH)).rstrip("\n"))
            show(summary_text(dict(summary)))

        def audited(self, result: BatchAudit, rows: int, total: int) -> None:
            which = "all rows" if rows >= total else f"{rows:,} of {total:,} rows"
            show(f"audit of {which}: the trainer supervises what the template marks\n{result.table()}")
            show(f"the first document, with supervised text between ⟦ and ⟧:\n{result.first}")

        def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
            if logs:
                say(_log_line(done, total, logs))

    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:

        class Bar(Lines):
            task = progress.add_task("reading", total=None)

            def notice(self, text: str) -> None:
                progress.console.print(visible(f"note: {text}"), markup=False, highlight=False)

            def begins(self, phase: Phase, total: int, done: int) -> None:
                progress.reset(self.task, total=total, completed=done, description=phase)

            def advances(self, weight: int, counts: dict[str, Any]) -> None:
                progress.update(self.task, advance=weight)

            def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
                progress.update(self.task, total=total, completed=done)
                if "loss" in logs:
                    progress.update(self.task, description=f"training, loss {float(logs['loss']):.4f}")

        yield Bar()


def _log_line(done: int, total: int, logs: Mapping[str, Any]) -> str:
    parts = [f"step {done:,} of {total:,}"]
    for name, label in (("loss", "loss"), ("eval_loss", "loss on eval_data")):
        if name in logs:
            parts.append(f"{label} {float(logs[name]):.4f}")
    if "learning_rate" in logs:
        parts.append(f"learning rate {float(logs['learning_rate']):.2e}")
    if "supervised_total" in logs:
        parts.append(f"{int(logs['supervised_total']):,} supervised tokens")
    return ", ".join(parts)
