"""What is logged while a model trains: supervised tokens, and completions of fixed prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from chattmpl.conversation.models import Conversation
from chattmpl.errors import UsageError
from chattmpl.template.template import Template
from chattmpl.training.adapter.completions import Completion, complete


class Supervised:
    """How many supervised tokens a trainer has seen.

    Attributes:
        tokens, steps: since they were logged last, in this process.
        total: before that, in all processes.
    """

    def __init__(self, trainer: Any, before: int = 0) -> None:
        self._trainer = trainer
        self.tokens = self.steps = 0
        self.total = before

    def seen(self, batches: Sequence[Any]) -> None:
        """Counts the batches of an optimizer step."""
        if batches:
            self.tokens += sum(supervised(batch["labels"]) for batch in batches)
            self.steps += 1

    def settle(self) -> dict[str, Any]:
        """Adds up what all processes have seen, which each has to call; what is logged of it, if there is anything."""
        if not self.steps:
            return {}
        tokens, steps = _summed(self._trainer, self.tokens), self.steps
        self.total += tokens
        self.tokens = self.steps = 0
        return {"supervised_tokens": tokens / steps, "supervised_total": self.total}

    def so_far(self) -> int:
        """All that were seen, with those that are to be logged yet; each process has to call it."""
        return self.total + _summed(self._trainer, self.tokens)


def count_supervised(trainer: Any, before: int = 0) -> Supervised:
    """Adds to what a trainer logs: ``supervised_tokens``, a mean for each step, and ``supervised_total``.

    They are counted in the batches that the model gets, all of those of an optimizer step, and summed over processes.

    Args:
        trainer: an ``SFTTrainer``, or another ``Trainer`` of transformers.
        before: how many were seen by a run that goes on.

    Raises:
        UsageError: for something else.
    """
    if not hasattr(trainer, "get_batch_samples"):
        raise UsageError(f"a {type(trainer).__name__} is no Trainer of transformers", hint="give the SFTTrainer")
    batches_of, log = trainer.get_batch_samples, trainer.log
    counted = Supervised(trainer, before)

    def get_batch_samples(*args: Any, **kwargs: Any) -> Any:
        batches, items = batches_of(*args, **kwargs)
        counted.seen(batches)
        return batches, items

    def logged(logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        logs |= counted.settle()
        log(logs, *args, **kwargs)

    trainer.get_batch_samples, trainer.log = get_batch_samples, logged
    return counted


def supervised(labels: Any) -> int:
    """How many labels of a batch are predicted: the first of a row is not, for nothing stands before it."""
    return int((labels[..., 1:] != -100).sum())


def _summed(trainer: Any, count: int) -> int:
    if trainer.accelerator.num_processes == 1:
        return count
    import torch

    counts = trainer.accelerator.gather(torch.tensor([count], device=trainer.accelerator.device))
    return int(counts.sum())


class VibeTest(TrainerCallback):  # type: ignore[misc]
    """Samples completions for fixed prompts while a model trains, parses them, and tells what came.

    Args:
        template: the template that is trained.
        tokenizer: its tokenizer.
        prompts: conversations to answer.
        every: after so many steps.
        write: takes a text to show; print if None.
        max_new_tokens: most tokens of a completion.
        stop_tokens: see `chattmpl.training.adapter.stop_ids`.
        template_kwargs: variables of the template.
        trainer: the trainer that it is added to. Its other callbacks, and so its trackers, are told ``vibe_parsed``
            and ``vibe_stopped``; without it they stand in ``state.log_history`` alone.

    Raises:
        UsageError: there is no prompt, or ``every`` is less than 1.

    Attributes:
        history: for each time the step and the completions.
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
            raise UsageError(f"every is at least 1 step, not {every}")
        self.template, self.tokenizer, self.every = template, tokenizer, every
        self.prompts = [Conversation.coerce(prompt) for prompt in prompts]
        if not self.prompts:
            raise UsageError("there is no prompt to answer", hint="give one or more, or leave the VibeTest out")
        if trainer is not None and not hasattr(trainer, "callback_handler"):
            raise UsageError(f"a {type(trainer).__name__} is no Trainer of transformers", hint="give the SFTTrainer")
        self.trainer = trainer
        self.write = write or print
        self.options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "stop_tokens": stop_tokens,
            "template_kwargs": template_kwargs,
        }
        self.history: list[tuple[int, list[Completion]]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Samples, where it is time to."""
        if state.global_step % self.every or not (state.is_world_process_zero or _sharded(model)):
            return
        completions = complete(model, self.tokenizer, self.template, self.prompts, **self.options)
        if not state.is_world_process_zero:
            return
        self.history.append((state.global_step, completions))
        parsed = sum(each.conversation is not None for each in completions) / len(completions)
        stopped = sum(each.stop is not None for each in completions) / len(completions)
        self._log({"vibe_parsed": parsed, "vibe_stopped": stopped}, args, state, control)
        self.write(shown(state.global_step, completions))

    def _log(self, logs: dict[str, Any], args: Any, state: Any, control: Any) -> None:
        if state.epoch is not None:
            logs["epoch"] = state.epoch
        state.log_history.append({**logs, "step": state.global_step})
        if self.trainer is not None:
            # Not by `Trainer.log`: that of trl adds the means of the steps so far, and begins them anew. And a log that
            # is due at this step is still due.
            due = control.should_log
            self.trainer.callback_handler.on_log(args, state, control, logs)
            control.should_log = due


def _sharded(model: Any) -> bool:
    """Whether processes have parts of the weights, so that none can sample without the others."""
    return any(hasattr(parameter, "device_mesh") for parameter in model.parameters())


def shown(step: int, completions: Sequence[Completion]) -> str:
    """Completions for a person, a line each."""
    lines = [f"step {step}: what the model samples"]
    for each in completions:
        verdict = "parsed" if each.conversation is not None else f"not parsed: {each.refusal}"
        lines.append(f"  {each.text!r} ({verdict}{'' if each.stop else ', no stop token'})")
    return "\n".join(lines)
