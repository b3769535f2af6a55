"""Training of an experiment's model on prepared rows, and sampling of held-out turns."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chattmpl.template.template import Template
from chattmpl.training.prove.dialogues import Dialogue
from chattmpl.training.prove.measures import SampledTurn
from chattmpl.training.prove.models import CLOCK

Progress = Callable[[str, int, int], None]
"""Receiver of progress: the phase, the finished amount, and the total."""


@dataclass(frozen=True)
class Schedule:
    """The length of a training and its batches.

    Attributes:
        steps, batch: number of optimizer steps, and of rows in each.
        rate: highest learning rate, reached after a twentieth of the steps and followed by a cosine decay.
        order: ``random``, or ``group_by_length`` for batches of rows of similar length.
    """

    steps: int
    batch: int
    rate: float
    order: str = "random"


@dataclass(frozen=True)
class TrainedModel:
    """The result of a training.

    Attributes:
        model: the trained model; with LoRA, the peft model.
        curve: step, loss and supervised tokens so far, for each log.
        tokens: number of tokens that the model saw, without padding.
        wall, cpu: duration of the steps in seconds, elapsed and of processor time.
    """

    model: Any
    curve: list[dict[str, Any]]
    tokens: int
    wall: float
    cpu: float


def train_model(
    model: Any,
    tokenizer: Any,
    rows: Any,
    schedule: Schedule,
    seed: int,
    *,
    progress: Progress = lambda *_: None,
    audit: Callable[[Callable[[Any], Any]], None] | None = None,
    peft_config: Any = None,
    **options: Any,
) -> TrainedModel:
    """Train a causal language model of transformers with trl on rows from `prepare`.

    ``audit`` is called before training with a function that builds a trainer for other rows; ``peft_config`` is the
    configuration of an adapter to train instead of the weights; ``options`` are further arguments of ``SFTConfig``,
    which override the schedule's.
    """
    import torch
    from transformers import TrainerCallback

    from chattmpl.training.adapter import count_supervised, sft_config, sft_trainer
    from chattmpl.training.adapter.sft import quiet

    class StepReporter(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress("training", state.global_step, state.max_steps)

    progress("training", 0, schedule.steps)
    with tempfile.TemporaryDirectory() as folder, quiet():
        defaults = {"output_dir": folder, "bf16": torch.cuda.is_available(), **_settings(schedule), "seed": seed}
        config = sft_config(rows, **{**defaults, **options})

        def build(dataset: Any) -> Any:
            return sft_trainer(model, config, dataset, tokenizer, peft_config=peft_config)

        if audit is not None:
            audit(build)
        trainer = build(rows)
        count_supervised(trainer)
        trainer.add_callback(StepReporter())
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    history = [entry for entry in trainer.state.log_history if "loss" in entry and "supervised_tokens" in entry]
    curve = [{name: entry[name] for name in ("step", "loss", "supervised_total")} for entry in history]
    return TrainedModel(trainer.model, curve, int(trainer.state.num_input_tokens_seen), wall, cpu)


def _settings(schedule: Schedule) -> dict[str, Any]:
    return {
        "max_steps": schedule.steps,
        "per_device_train_batch_size": schedule.batch,
        "learning_rate": schedule.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, schedule.steps // 20),
        "adam_beta2": 0.98,
        "weight_decay": 0.01,
        "gradient_checkpointing": False,
        "train_sampling_strategy": schedule.order,
        "logging_steps": max(1, schedule.steps // 50),
        "save_strategy": "no",
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
    }


_BATCH = 64


def sample_turns(
    model: Any,
    tokenizer: Any,
    template: Template,
    tests: Sequence[Dialogue],
    *,
    limit: int,
    progress: Progress = lambda *_: None,
) -> list[SampledTurn]:
    """Sample each assistant turn of held-out dialogues, `_BATCH` at once; the turns before it are the correct ones.

    ``limit`` is the largest number of tokens of a completion.
    """
    from chattmpl.training.adapter import complete
    from chattmpl.training.adapter.sft import quiet

    turns = [(dialogue, turn) for dialogue in tests for turn in dialogue.turns]
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("sampling", done, len(turns))

    prompts = [dialogue.conversation(turn.index) for dialogue, turn in turns]
    with quiet():
        completions = complete(
            model, tokenizer, template, prompts, max_new_tokens=limit, batch_size=_BATCH, clock=CLOCK, progress=advance
        )
    return [SampledTurn(turn, completion) for (_, turn), completion in zip(turns, completions, strict=True)]
