"""Training with trl on prepared rows, and sampling held-out turns, as all experiments do them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chattmpl.data.quiet import quiet
from chattmpl.template.template import Template
from chattmpl.training.prove.dialogues import Talk
from chattmpl.training.prove.measures import Answered

Watch = Callable[[str, int, int], None]
"""Is told the phase, how much of it is done, and how much it is."""

CLOCK = datetime(2025, 1, 1)
"""What time a template is told that it is, so that the same seed makes the same rows on any day."""


@dataclass(frozen=True)
class Schedule:
    """How long a model trains, and on how much at once.

    Attributes:
        steps: optimizer steps.
        batch: rows in each.
        rate: the highest learning rate; it rises over the first twentieth of the steps, and falls as a cosine.
        order: of rows; ``group_by_length`` puts rows of like length together, ``random`` does not.
    """

    steps: int
    batch: int
    rate: float
    order: str = "random"


@dataclass(frozen=True)
class Trained:
    """What came of training.

    Attributes:
        model: the trained model, which is a wrapped one under LoRA.
        curve: the loss and the supervised tokens so far, by step.
        tokens: that the model saw, padding not among them.
        wall, cpu: seconds that the steps took, by the clock and in processor time.
    """

    model: Any
    curve: list[dict[str, Any]]
    tokens: int
    wall: float
    cpu: float


def train(
    model: Any,
    tokenizer: Any,
    rows: Any,
    schedule: Schedule,
    seed: int,
    *,
    watch: Watch = lambda *_: None,
    built: Callable[[Callable[[Any], Any]], None] | None = None,
    peft_config: Any = None,
    **options: Any,
) -> Trained:
    """Trains a model with trl on prepared rows.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        rows: what `prepare` gives.
        schedule: how long.
        seed: of the order of rows.
        watch: is told how it goes.
        built: is given, before training, what makes a trainer for other rows, so that these can be audited.
        peft_config: trains an adapter in place of the weights.
        **options: more of trl's, or others.
    """
    import torch
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from trl import SFTTrainer

    from chattmpl.training.adapter import count_supervised, sft_config

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch("training", state.global_step, state.max_steps)

    watch("training", 0, schedule.steps)
    with tempfile.TemporaryDirectory() as folder, quiet():
        standard = {"output_dir": folder, "bf16": torch.cuda.is_available(), **_settings(schedule), "seed": seed}
        config = sft_config(rows, **{**standard, **options})

        def make(some: Any) -> Any:
            made = SFTTrainer(
                model=model, args=config, train_dataset=some, processing_class=tokenizer, peft_config=peft_config
            )
            for printing in (PrinterCallback, ProgressCallback):
                made.remove_callback(printing)
            return made

        if built is not None:
            built(make)
        trainer = make(rows)
        count_supervised(trainer)
        trainer.add_callback(Steps())
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    history = [entry for entry in trainer.state.log_history if "loss" in entry and "supervised_tokens" in entry]
    curve = [{name: entry[name] for name in ("step", "loss", "supervised_total")} for entry in history]
    return Trained(trainer.model, curve, int(trainer.state.num_input_tokens_seen), wall, cpu)


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


def answers(
    model: Any,
    tokenizer: Any,
    template: Template,
    tests: Sequence[Talk],
    *,
    limit: int,
    batch: int = 64,
    watch: Watch = lambda *_: None,
) -> list[Answered]:
    """What the model samples in place of each turn of held-out talks; earlier turns are as they should be.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        template: what renders the prompts.
        tests: held-out talks.
        limit: most tokens of a completion.
        batch: how many are sampled at once.
        watch: is told how it goes.
    """
    from chattmpl.training.adapter import complete

    asked = [(talk, turn) for talk in tests for turn in talk.turns]
    done = 0

    def advanced(count: int) -> None:
        nonlocal done
        done += count
        watch("sampling", done, len(asked))

    prompts = [talk.conversation(turn.index) for talk, turn in asked]
    with quiet():
        limits: dict[str, Any] = {"max_new_tokens": limit, "batch_size": batch, "clock": CLOCK}
        completions = complete(model, tokenizer, template, prompts, advanced=advanced, **limits)
    return [Answered(turn, completion) for (_, turn), completion in zip(asked, completions, strict=True)]
