"""What is told while a run goes on, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from chattmpl.data.job import Watcher as _Watcher
from chattmpl.training.adapter.callbacks import Supervised
from chattmpl.training.run.folder import mark_whole
from chattmpl.training.run.models import tell_stops


class Watcher(_Watcher):
    """Is told how a run goes on; the methods of this one do nothing."""

    def show(self, text: str) -> None:
        """A table, or another result."""

    def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
        """So many optimizer steps are done; ``logs`` is empty where nothing was logged."""


class Progress(TrainerCallback):  # type: ignore[misc]
    """Tells a watcher of steps and of what is logged."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first step is to come."""
        if state.is_world_process_zero:
            self.watcher.step(state.global_step, state.max_steps, {})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is done."""
        if state.is_world_process_zero:
            self.watcher.step(state.global_step, state.max_steps, {})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Something is logged."""
        if state.is_world_process_zero and logs and ("loss" in logs or "eval_loss" in logs):
            self.watcher.step(state.global_step, state.max_steps, logs)


class Keeper(TrainerCallback):  # type: ignore[misc]
    """Marks each checkpoint as whole once all processes have written it.

    Args:
        identity: of the run.
        stops: the stop tokens, which what trl aligns must not change.
    """

    def __init__(self, identity: str, stops: Mapping[int, str]) -> None:
        self.identity, self.stops = identity, stops
        self.counted: Supervised | None = None
        self.accelerator: Any = None

    def watch(self, trainer: Any, counted: Supervised) -> None:
        """Tells of what checkpoints are."""
        self.accelerator, self.counted = trainer.accelerator, counted

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The first step is to come."""
        tell_stops(model, self.stops)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        assert self.counted is not None
        self.accelerator.wait_for_everyone()
        supervised = self.counted.so_far()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            mark_whole(folder, self.identity, {"step": state.global_step, "supervised": supervised})
