"""A run from its configuration to the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chattmpl.data.config_file import Read
from chattmpl.data.quiet import quiet
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.report import stats as figures_report
from chattmpl.report.encoded import summary_text
from chattmpl.report.lines import plain
from chattmpl.training.adapter import Audited, VibeTest, audit, count_supervised, sft_config
from chattmpl.training.run.config import Config
from chattmpl.training.run.dropped_fields import not_rendered
from chattmpl.training.run.folder import RunFolder
from chattmpl.training.run.models import adapters, load_model
from chattmpl.training.run.prepared_data import Ready, prepare
from chattmpl.training.run.process_group import World
from chattmpl.training.run.progress import Keeper, Progress, Watcher
from chattmpl.training.run.resolved_run import Chosen, check_settings, choose, located, prompts_of
from chattmpl.training.run.rows import Encoded, conversations_of, find_data, load_rows, spread, trained_columns
from chattmpl.training.run.saved_model import save
from chattmpl.training.run.served_template import check, check_saved

_COMPARED = 8
"""Conversations that are rendered with what is saved, and compared."""

_WIDTH = 110


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        record: what ``chattmpl.json`` holds.
        folder: of the model.
        state: ``trained``, ``checked`` (a dry run) or ``finished before``.
        first: whether this is the process that tells.
    """

    record: dict[str, Any]
    folder: Path
    state: str
    first: bool


def train(
    config: Config,
    read: Read,
    *,
    resume: str = "auto",
    force: bool = False,
    dry_run: bool = False,
    watcher: Watcher | None = None,
) -> Outcome:
    """Trains a model on what a template says, or goes on with it.

    Args:
        config: see `chattmpl.training.run.config.load_config`.
        read: likewise; where its values stand.
        resume: ``auto`` goes on with a run that was cut off; ``never`` refuses where there is one.
        force: forget what an earlier run left, and start anew.
        dry_run: do all that comes before the first step.
        watcher: is told how it goes; only in the first process.

    Raises:
        AuditError: the trainer would supervise something else than the template says.
        UsageError, TemplateError, EncodeError, ConversationError: what is asked for cannot be done.
        Elsewhere: another process failed, and says why.
    """
    world = World()
    with quiet():
        run = _Run(config, read, world, (watcher if world.first else None) or Watcher())
        outcome = run.run(resume, force, dry_run)
    world.leave()
    return outcome


class _Run:
    def __init__(self, config: Config, read: Read, world: World, watcher: Watcher) -> None:
        self.config, self.read, self.world, self.watcher = config, read, world, watcher
        self.folder = RunFolder(config.folder)
        self.chosen: Chosen

    def run(self, resume: str, force: bool, dry_run: bool) -> Outcome:
        """All of it."""
        self._in_all(self._choose)
        world, watcher = self.world, self.watcher
        ready = world.once(lambda: prepare(self.config, self.chosen, world, watcher, resume=resume, force=force))
        if ready.finished:
            return Outcome(ready.record, self.folder.path, "finished before", self.world.first)
        self._show_data(ready.rows)
        rows = load_rows(ready.rows.files)
        numbers = spread(len(rows), self.config.audit)
        conversations = conversations_of(rows, numbers, self.config)
        clock = ready.rows.options.get("clock")
        if world.first and (lost := not_rendered(conversations, self.chosen.template, self.config, clock)):
            watcher.note(lost)
        self._in_all(lambda: self._check_served(conversations, ready.rows))
        trainer = self._trainer(trained_columns(rows), ready)
        audited = self._audit(trainer, conversations, numbers, ready.rows)
        if dry_run:
            return Outcome({**ready.record, "audit": audited}, self.folder.path, "checked", self.world.first)
        counted = self._counted(trainer, ready)
        self._train(trainer, ready)
        supervised = counted.so_far() if counted.tokens else counted.total
        record = self._save(trainer, {**ready.record, "audit": audited}, supervised, conversations, ready.rows)
        return Outcome(record, self.folder.path, "trained", self.world.first)

    def _in_all(self, do: Callable[[], None]) -> None:
        """Does what each process has to do; one that fails tells the others, and one of them tells the person."""
        self.world.every(do)

    def _choose(self) -> None:
        check_settings(self.config, self.read, self.world.size)
        self._check_early()
        self.watcher.note(f"this run has {self.world.size} process{'' if self.world.size == 1 else 'es'}")
        self.chosen = choose(self.config, self.read, self.watcher.note)

    def _check_early(self) -> None:
        """Refuses settings that trl does not take, and data that are not there, before hours of encoding."""
        from datasets import Dataset

        row = {"input_ids": [0, 0], "labels": [-100, 0], **({"seq_lengths": [2]} if self.config.pack else {})}
        with located(self.config, self.read, "trainer"):
            self._settings(Dataset.from_list([row]))
        if self.world.first:
            find_data(self.config, self.read)

    def _show_data(self, rows: Encoded) -> None:
        self.watcher.show(plain(figures_report.lines(rows.figures, _WIDTH)).rstrip("\n"))
        self.watcher.show(summary_text(rows.summary))

    # -- the trainer

    def _check_served(self, conversations: list[Any], rows: Encoded) -> None:
        some = conversations[:_COMPARED] if self.world.first else []
        clock = rows.options.get("clock")
        check_saved(self.chosen.tokenizer, self.chosen.template, some, self.config.template.kwargs, clock)

    def _trainer(self, rows: Any, ready: Ready) -> Any:
        made: list[Any] = []

        def make() -> None:
            with located(self.config, self.read, "trainer"):
                args = self._settings(rows)
            evaluated = trained_columns(load_rows(ready.evaluated)) if ready.evaluated else None
            with located(self.config, self.read, "model"):
                model = load_model(self.config, self.chosen.tokenizer, self.chosen.stops)
            peft_config, _ = adapters(self.config)
            try:
                from trl import SFTTrainer

                trainer = SFTTrainer(
                    model=model,
                    args=args,
                    train_dataset=rows,
                    eval_dataset=evaluated,
                    processing_class=self.chosen.tokenizer,
                    peft_config=peft_config,
                    callbacks=[Progress(self.watcher), Keeper(ready.identity, self.chosen.stops)],
                )
            except Exception as error:
                raise _of_others("trl cannot build the trainer", error) from error
            made.append(trainer)

        self._in_all(make)
        trainer = made[0]
        self._without_talk(trainer)
        if self.config.vibe is not None:
            trainer.add_callback(self._vibe(trainer))
        return trainer

    def _without_talk(self, trainer: Any) -> None:
        from transformers.trainer_callback import PrinterCallback, ProgressCallback

        for printing in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printing)

    def _settings(self, rows: Any) -> Any:
        given = self.config.trainer
        steps = _steps(len(rows), given, self.world.size)
        filled = {
            "logging_steps": max(1, min(10, steps // 50)),
            "save_steps": max(1, min(500, steps // 10)),
            "save_total_limit": 2,
            "report_to": "none",
            "average_tokens_across_devices": True,
            "disable_tqdm": True,
            "save_strategy": "steps",
            "seed": self.config.seed,
            "data_seed": self.config.seed,
        }
        if self.config.eval_data is not None:
            filled |= {"eval_strategy": "steps", "eval_steps": filled["save_steps"]}
        try:
            return sft_config(rows, output_dir=str(self.folder.path), **{**filled, **given})
        except ChatTmplError:
            raise
        except Exception as error:
            raise _of_others("trl does not take these settings", error) from error

    def _vibe(self, trainer: Any) -> VibeTest:
        vibe = self.config.vibe
        assert vibe is not None
        with located(self.config, self.read, "vibe"):
            return VibeTest(
                self.chosen.template,
                self.chosen.tokenizer,
                prompts_of(self.config),
                every=vibe.every
                or max(1, _steps(len(trainer.train_dataset), self.config.trainer, self.world.size) // 5),
                write=self.watcher.note,
                max_new_tokens=vibe.max_new_tokens,
                stop_tokens=list(self.chosen.stops.values()),
                template_kwargs=self.config.template.kwargs,
                trainer=trainer,
            )

    def _audit(self, trainer: Any, conversations: list[Any], numbers: list[int], rows: Encoded) -> dict[str, Any]:
        names = ("straddle", "control_tokens", "mask", "max_length", "overflow", "unroll", "pack", "template_kwargs")
        options = {name: value for name, value in self.config.encoding.items() if name in names}
        picked = numbers if len(numbers) < len(trainer.train_dataset) else None

        def look() -> Audited:
            return audit(
                trainer,
                conversations,
                self.chosen.template,
                self.chosen.tokenizer,
                rows=picked,
                max_rejected="100%",
                **options,
                **rows.options,
            )

        found = _together(self.world.every(look))
        which = "all rows" if picked is None else f"{len(numbers):,} of {len(trainer.train_dataset):,} rows"
        self.watcher.show(f"audit of {which}: what is supervised is what the template says\n{found.table()}")
        self.watcher.show(f"the first one, with what is supervised between ⟦ and ⟧:\n{found.first}")
        return {"rows": len(numbers), **{k: v for k, v in asdict(found).items() if k != "first"}}

    def _counted(self, trainer: Any, ready: Ready) -> Any:
        counted = count_supervised(trainer, ready.supervised)
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, Keeper):
                callback.watch(trainer, counted)
        return counted

    def _train(self, trainer: Any, ready: Ready) -> None:
        try:
            trainer.train(resume_from_checkpoint=ready.checkpoint)
        except ChatTmplError:
            raise
        except Exception as error:
            kept = self.folder.checkpoints(ready.identity)[0]
            way = f"the same command goes on from {kept[0]}" if kept else ""
            raise _of_others("training failed", error, way) from error

    def _save(
        self, trainer: Any, record: dict[str, Any], supervised: int, conversations: list[Any], rows: Encoded
    ) -> dict[str, Any]:
        _, merge = adapters(self.config)
        save(trainer, self.folder.path, self.chosen, merge=merge, world=self.world)
        state = trainer.state
        losses, held_out = (
            [entry[name] for entry in state.log_history if name in entry] for name in ("loss", "eval_loss")
        )
        trained = {
            "steps": state.global_step,
            "epochs": state.epoch,
            "first_loss": losses[0] if losses else None,
            "loss": losses[-1] if losses else None,
            "eval_loss": held_out[-1] if held_out else None,
            "supervised_tokens": supervised,
        }
        done = {**record, "trained": trained}

        def finish() -> None:
            some = conversations[:_COMPARED]
            clock = rows.options.get("clock")
            check(self.folder.path, self.chosen.template, some, self.config.template.kwargs, clock)
            self.folder.write(done)

        self.world.once(finish)
        return done


def _of_others(what: str, error: Exception, hint: str = "") -> UsageError:
    """An error of another library, in one line."""
    said = " ".join(str(error).split())[:400]
    whole = "CHATTMPL_TRACEBACK=1 shows where"
    return UsageError(f"{what}: {type(error).__name__}: {said}", hint=f"{hint}; {whole}" if hint else whole)


def _steps(rows: int, given: dict[str, Any], processes: int) -> int:
    """About how many optimizer steps a run has."""
    if isinstance(given.get("max_steps"), int) and given["max_steps"] > 0:
        return int(given["max_steps"])
    try:
        batch = int(given.get("per_device_train_batch_size", 8)) * int(given.get("gradient_accumulation_steps", 1))
        return math.ceil(math.ceil(rows / (batch * processes)) * float(given.get("num_train_epochs", 3)))
    except (TypeError, ValueError, ZeroDivisionError):
        return 1


def _together(each: list[Audited]) -> Audited:
    """What all processes found."""
    sums = {name: sum(getattr(one, name) for one in each) for name in ("batches", "documents", "tokens", "supervised")}
    missing = each[0].missing if len(each) == 1 else 0
    return Audited(**sums, missing=missing, first=each[0].first)
