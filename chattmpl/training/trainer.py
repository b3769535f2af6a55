"""The trl trainer of a run: its settings, the checks of these, its callbacks, and the events that it reports."""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from chattmpl.conversation.models import Conversation
from chattmpl.data.config_file import ConfigFile
from chattmpl.data.job import Watcher
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.training.adapter.batch_audit import BatchAudit
from chattmpl.training.adapter.callbacks import SupervisedTokens, VibeTest
from chattmpl.training.adapter.sft import check_names, sft_config, sft_trainer
from chattmpl.training.config import TrainConfig, located, one_line, option_mentioned
from chattmpl.training.model import check_model, load_model, lora_config, set_stop_tokens
from chattmpl.training.resolved_run import ResolvedRun
from chattmpl.training.run_folder import mark_complete


class RunWatcher(Watcher):
    """Receiver of the events of a run; the methods of this class do nothing."""

    def notice(self, text: str) -> None:
        """Receive a notice of the run for the user."""

    def encoded(self, figures: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Receive the figures of the data and the summary of its encoding, once the rows are ready."""

    def audited(self, result: BatchAudit, rows: int, total: int) -> None:
        """Receive the result of the audit of some rows of the total."""

    def step(self, done: int, total: int, logs: Mapping[str, Any]) -> None:
        """Receive the number of finished optimizer steps, and what was logged, if anything."""


# -- settings


def check_settings(config: TrainConfig, read: ConfigFile, processes: int) -> None:
    """Refuse arguments of trl, peft and transformers that do not exist or would do harm.

    Raises:
        UsageError: for the first one, with its place.
    """
    from datasets import Dataset

    with located(read, "trainer"):
        check_names(config.trainer)
        if processes > 1 and config.trainer.get("average_tokens_across_devices") is False:
            raise UsageError(
                "average_tokens_across_devices=False: each process would divide by its own supervised tokens, so that "
                "tokens in a batch with few of them would weigh more",
                option="average_tokens_across_devices",
                hint="remove it",
            )
        _check_types(config.trainer)
        if config.trainer.get("use_liger_kernel") and find_spec("liger_kernel") is None:
            raise UsageError(
                "use_liger_kernel requires liger-kernel, which is not installed",
                option="use_liger_kernel",
                hint="pip install liger-kernel",
            )
    with located(read, "lora"):
        lora_config(config)
    with located(read, "model"):
        check_model(config.model)
    with located(read, "vibe"):
        vibe_prompts(config)
    # trl's own checks, before hours of encoding.
    row = {"input_ids": [0, 0], "labels": [-100, 0], **({"seq_lengths": [2]} if config.pack else {})}
    with located(read, "trainer"):
        trainer_settings(config, Dataset.from_list([row]), processes)


_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float)}


def _check_types(options: Mapping[str, Any]) -> None:
    """Refuse values of the wrong type, which transformers accepts: any string is true."""
    from trl import SFTConfig

    annotations = {field.name: getattr(field.type, "__name__", str(field.type)) for field in fields(SFTConfig)}
    for name, value in options.items():
        words = set(re.findall(r"\w+", annotations[name])) - {"Optional", "Union", "typing"}
        if value is None or not words or not words <= {*_TYPES, "None", "NoneType"}:
            continue
        types = tuple(type_ for word in words for type_ in _TYPES.get(word, ()))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise UsageError(f"trainer.{name} cannot be {value!r}: its type is {annotations[name]}", option=name)


def trainer_settings(config: TrainConfig, rows: Any, processes: int) -> Any:
    """Return the ``SFTConfig`` of a run.

    Raises:
        UsageError: trl does not accept the settings, or would silently alter or ignore something.
    """
    steps = estimate_steps(len(rows), config.trainer, processes)
    defaults = {
        "logging_steps": max(1, min(10, steps // 50)),
        "save_steps": max(1, min(500, steps // 10)),
        "save_total_limit": 2,
        "report_to": "none",
        "average_tokens_across_devices": True,
        "disable_tqdm": True,
        "save_strategy": "steps",
        "seed": config.seed,
        "data_seed": config.seed,
    }
    if config.eval_data is not None:
        defaults |= {"eval_strategy": "steps", "eval_steps": defaults["save_steps"]}
    try:
        return sft_config(rows, output_dir=str(config.folder), **{**defaults, **config.trainer})
    except ChatTmplError:
        raise
    except Exception as error:
        raise library_error("trl rejects these settings", error, config.trainer) from error


def estimate_steps(rows: int, options: Mapping[str, Any], processes: int) -> int:
    """Estimate the number of optimizer steps of a run; 1 if its settings are not numbers."""
    if isinstance(options.get("max_steps"), int) and options["max_steps"] > 0:
        return int(options["max_steps"])
    try:
        batch = int(options.get("per_device_train_batch_size", 8)) * int(options.get("gradient_accumulation_steps", 1))
        return math.ceil(math.ceil(rows / (batch * processes)) * float(options.get("num_train_epochs", 3)))
    except (TypeError, ValueError, ZeroDivisionError):
        return 1


def vibe_prompts(config: TrainConfig) -> list[Conversation]:
    """Return the prompts to answer during training; a string is a user message.

    Raises:
        UsageError: a prompt is not a conversation.
    """
    prompts = []
    for number, each in enumerate(config.vibe.prompts if config.vibe else ()):
        try:
            prompts.append(Conversation.coerce([{"role": "user", "content": each}] if isinstance(each, str) else each))
        except ChatTmplError as error:
            raise UsageError(f"vibe.prompts[{number}]: {error.message}", hint=error.hint) from None
    return prompts


def library_error(what: str, error: Exception, options: Mapping[str, Any] | None = None, hint: str = "") -> UsageError:
    """Return an error of another library in one line, and the option that it mentions."""
    traceback = "CHATTMPL_TRACEBACK=1 prints the traceback"
    return UsageError(
        f"{what}: {type(error).__name__}: {one_line(error, 400)}",
        option=option_mentioned(str(error), options or {}),
        hint=f"{hint}; {traceback}" if hint else traceback,
    )


# -- the trainer


def build_trainer(
    config: TrainConfig,
    read: ConfigFile,
    resolved: ResolvedRun,
    rows: Any,
    eval_rows: Any,
    *,
    identity: str,
    processes: int,
    watcher: RunWatcher,
) -> Any:
    """Build the ``SFTTrainer`` of a run.

    ``rows`` and ``eval_rows`` are datasets of the datasets library; ``identity`` is recorded in checkpoints.

    Raises:
        UsageError: a setting or the model cannot be used.
    """
    with located(read, "trainer"):
        args = trainer_settings(config, rows, processes)
    with located(read, "model"):
        model = load_model(config, resolved.tokenizer, resolved.stops)
    peft_config, _ = lora_config(config)
    callbacks = [StepReporter(watcher), CheckpointMarker(identity, resolved.stops)]
    try:
        trainer = sft_trainer(
            model, args, rows, resolved.tokenizer, eval_dataset=eval_rows, peft_config=peft_config, callbacks=callbacks
        )
    except Exception as error:
        raise library_error("trl cannot build the trainer", error) from error
    if config.vibe is not None:
        with located(read, "vibe"):
            steps = estimate_steps(len(rows), config.trainer, processes)
            vibe = VibeTest(
                resolved.template,
                resolved.tokenizer,
                vibe_prompts(config),
                every=config.vibe.every or max(1, steps // 5),
                write=watcher.notice,
                max_new_tokens=config.vibe.max_new_tokens,
                stop_tokens=list(resolved.stops.values()),
                template_kwargs=config.template.kwargs,
                trainer=trainer,
            )
        trainer.add_callback(vibe)
    return trainer


class StepReporter(TrainerCallback):  # type: ignore[misc]
    """Callback that reports steps and logs to a watcher."""

    def __init__(self, watcher: RunWatcher) -> None:
        self.watcher = watcher

    def on_train_begin(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Report the number of finished steps."""
        if state.is_world_process_zero:
            self.watcher.step(state.global_step, state.max_steps, logs or {})

    on_step_end = on_train_begin

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Report logged losses."""
        if logs and ("loss" in logs or "eval_loss" in logs):
            self.on_train_begin(args, state, control, logs)


class CheckpointMarker(TrainerCallback):  # type: ignore[misc]
    """Callback that marks each checkpoint as complete after all processes have written it.

    Args:
        identity: identity of the run.
        stops: stop tokens by id, which trl would replace when it aligns the model with the tokenizer.
    """

    def __init__(self, identity: str, stops: Mapping[int, str]) -> None:
        self.identity, self.stops = identity, stops
        self.supervised: SupervisedTokens | None = None
        self.accelerator: Any = None

    def watch(self, trainer: Any, supervised: SupervisedTokens) -> None:
        """Set the trainer and the counter whose values checkpoints record."""
        self.accelerator, self.supervised = trainer.accelerator, supervised

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Restore the stop tokens."""
        set_stop_tokens(model, self.stops)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint."""
        assert self.supervised is not None
        self.accelerator.wait_for_everyone()
        total = self.supervised.so_far()
        if state.is_world_process_zero:
            mark_complete(
                Path(args.output_dir) / f"checkpoint-{state.global_step}", self.identity, state.global_step, total
            )
