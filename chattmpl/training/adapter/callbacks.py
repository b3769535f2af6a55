"""Logging during training: the number of supervised tokens, and completions of fixed prompts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from chattmpl.conversation.models import Conversation
from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import UsageError
from chattmpl.template.template import Template
from chattmpl.training.adapter.completions import Completion, complete


class SupervisedTokens:
    """Counter of the supervised tokens that a trainer has seen.

    Attributes:
        tokens, steps: since the last log, in this process.
        total: up to the last log, in all processes.
    """

    def __init__(self, trainer: Any, before: int = 0) -> None:
        self._trainer = trainer
        self.tokens = self.steps = 0
        self.total = before

    def add_step(self, batches: Sequence[Any]) -> None:
        """Count the batches of an optimizer step."""
        if batches:
            self.tokens += sum(count_targets(batch["labels"]) for batch in batches)
            self.steps += 1

    def flush(self) -> dict[str, Any]:
        """Add the counts of all processes to the total, and return what to log. Each process must call this."""
        if not self.steps:
            return {}
        tokens, steps = _sum_over_processes(self._trainer, self.tokens), self.steps
        self.total += tokens
        self.tokens = self.steps = 0
        return {"supervised_tokens": tokens / steps, "supervised_total": self.total}

    def so_far(self) -> int:
        """Return the total including what is not yet logged. Each process must call this."""
        return self.total + _sum_over_processes(self._trainer, self.tokens)


def count_supervised(trainer: Any, before: int = 0) -> SupervisedTokens:
    """Add ``supervised_tokens``, the mean of each step, and ``supervised_total`` to what a trainer logs.

    Tokens are counted in all batches of an optimizer step, as the model receives them, and summed over processes.

    Args:
        trainer: ``SFTTrainer``, or another ``Trainer`` of transformers.
        before: number of supervised tokens that a resumed run has seen.

    Raises:
        UsageError: ``trainer`` is not a ``Trainer``.
    """
    if not hasattr(trainer, "get_batch_samples"):
        raise UsageError(f"{type(trainer).__name__} is not a Trainer of transformers", hint="pass the SFTTrainer")
    original_batches, original_log = trainer.get_batch_samples, trainer.log
    counter = SupervisedTokens(trainer, before)

    def get_batch_samples(*args: Any, **kwargs: Any) -> Any:
        batches, items = original_batches(*args, **kwargs)
        counter.add_step(batches)
        return batches, items

    def log(logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        logs |= counter.flush()
        original_log(logs, *args, **kwargs)

    trainer.get_batch_samples, trainer.log = get_batch_samples, log
    return counter


def count_targets(labels: Any) -> int:
    """Count the labels of a batch that are predicted; the first of a row has no preceding token and is not."""
    return int((labels[..., 1:] != IGNORE_INDEX).sum())


def _sum_over_processes(trainer: Any, count: int) -> int:
    if trainer.accelerator.num_processes == 1:
        return count
    import torch

    counts = trainer.accelerator.gather(torch.tensor([count], device=trainer.accelerator.device))
    return int(counts.sum())


class VibeTest(TrainerCallback):  # type: ignore[misc]
    """Callback that samples completions of fixed prompts during training, parses them and writes them out.

    Args:
        template: the training template.
        prompts: conversations to answer.
        every: number of steps between tests.
        write: receives the text of each test; ``print`` by default.
        max_new_tokens: largest number of tokens of a completion.
        stop_tokens: see `chattmpl.training.adapter.stop_ids`.
        trainer: the trainer to which the callback is added. Its other callbacks, including its trackers, then receive
            ``vibe_parsed`` and ``vibe_stopped``; without it, only ``state.log_history`` does.

    Raises:
        UsageError: there are no prompts, or ``every`` is less than 1.

    Attributes:
        history: the step and the completions of each test.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: Any,
        prompts: Sequence[Any],
        *,
        every: int = 100,
        write: Callable[[str], None] | None = None,
        max_new_tokens: int = 256,
        stop_tokens: Sequence[str] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        trainer: Any = None,
    ) -> None:
        if every < 1:
            raise UsageError(f"every must be at least 1 step, not {every}")
        self.template, self.tokenizer, self.every = template, tokenizer, every
        self.prompts = [Conversation.coerce(prompt) for prompt in prompts]
        if not self.prompts:
            raise UsageError("there are no prompts to answer", hint="pass at least one, or omit the VibeTest")
        if trainer is not None and not hasattr(trainer, "callback_handler"):
            raise UsageError(f"{type(trainer).__name__} is not a Trainer of transformers", hint="pass the SFTTrainer")
        self.trainer = trainer
        self.write = write or print
        self.options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "stop_tokens": stop_tokens,
            "template_kwargs": template_kwargs,
        }
        self.history: list[tuple[int, list[Completion]]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Sample completions if a test is due."""
        if state.global_step % self.every or not (state.is_world_process_zero or _is_sharded(model)):
            return
        completions = complete(model, self.tokenizer, self.template, self.prompts, **self.options)
        if not state.is_world_process_zero:
            return
        self.history.append((state.global_step, completions))
        parsed = sum(each.conversation is not None for each in completions) / len(completions)
        stopped = sum(each.stop is not None for each in completions) / len(completions)
        self._log({"vibe_parsed": parsed, "vibe_stopped": stopped}, args, state, control)
        self.write(format_completions(state.global_step, completions))

    def _log(self, logs: dict[str, Any], args: Any, state: Any, control: Any) -> None:
        if state.epoch is not None:
            logs["epoch"] = state.epoch
        state.log_history.append({**logs, "step": state.global_step})
        if self.trainer is not None:
            # Not through trl's `log`, which would add its running means and reset them; and a log that is due at this
            # step must stay due.
            due = control.should_log
            self.trainer.callback_handler.on_log(args, state, control, logs)
            control.should_log = due


def _is_sharded(model: Any) -> bool:
    """Return True if each process holds only a part of the weights, so that all must take part in sampling."""
    return any(hasattr(parameter, "device_mesh") for parameter in model.parameters())


def format_completions(step: int, completions: Sequence[Completion]) -> str:
    """Return completions as text, one per line."""
    lines = [f"step {step}: sampled completions"]
    for each in completions:
        verdict = "parsed" if each.conversation is not None else f"not parsed: {each.refusal}"
        lines.append(f"  {each.text!r} ({verdict}{'' if each.stop else ', no stop token'})")
    return "\n".join(lines)
