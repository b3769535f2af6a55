"""The experiment: a small model, trained from scratch in a template, and what it does on held-out prompts."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from chattmpl.extra.prove.measures import Answered, held_out_loss, summary
from chattmpl.extra.prove.models import make_model, make_tokenizer
from chattmpl.extra.prove.sizes import SIZES, Size
from chattmpl.extra.prove.talks import Talk, abilities_of, make_talks, rendering_traces
from chattmpl.extra.prove.verdict import Thresholds, failures
from chattmpl.template import Template

Watch = Callable[[str, int, int], None]
"""Is told the phase, how much of it is done, and how much it is."""

_TEXTS = 600
"""Talks that the tokenizer is made of."""

_AUDITED = 200
"""Talks whose rows are audited before training."""

_CLOCK = datetime(2025, 1, 1)
"""What time a template is told that it is, so that the same seed makes the same rows on any day."""


def prove(
    template: Template,
    *,
    size: str = "default",
    seed: int = 0,
    steps: int | None = None,
    thresholds: Thresholds | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Trains a small model in this template, and measures it.

    Args:
        template: a family, or a template with its facts.
        size: a name in `chattmpl.extra.prove.sizes.SIZES`.
        seed: of the data, the weights and the order of rows.
        steps: optimizer steps, if other than the size says.
        thresholds: what the model must reach.
        watch: is told how it goes.

    Returns:
        The report, as JSON; docs/prove.md tells what is in it.

    Raises:
        UsageError: for a template that is no family with a ``[parse]`` table.
    """
    asked = template.retention
    template = rendering_traces(template)
    chosen = SIZES[size] if steps is None else replace(SIZES[size], steps=steps)
    experiment = _Experiment(template, chosen, seed, watch or (lambda *_: None))
    report = {
        "template": template.name,
        "retention": template.retention,
        "own_retention": asked,
        "size": {"name": size, **asdict(chosen)},
        "seed": seed,
        **experiment.run(),
    }
    limits = thresholds or Thresholds()
    failed = failures(report, limits)
    return {**report, "thresholds": asdict(limits), "failures": failed, "trained": not failed}


class _Experiment:
    def __init__(self, template: Template, size: Size, seed: int, watch: Watch) -> None:
        self.template, self.size, self.seed, self.watch = template, size, seed, watch
        self.abilities = abilities_of(template)
        # Where every turn stays as it was sampled, one row has all of them behind their prompts.
        unroll = template.retention not in (None, "all")
        self.options: dict[str, Any] = {"unroll": unroll, "clock": _CLOCK}

    def run(self) -> dict[str, Any]:
        """The experiment, from data to numbers."""
        from chattmpl.extra.trainer import prepare

        started = time.perf_counter(), time.process_time()
        talks = make_talks(self.size.talks, self.abilities, self.seed, test=False)
        tests = make_talks(self.size.tests, self.abilities, self.seed, test=True)
        self.watch("rows", 0, 1)
        texts = [self.template.render(talk.conversation(), clock=_CLOCK).text for talk in talks[:_TEXTS]]
        tokenizer = make_tokenizer(self.template, texts, self.size.merges)
        with _quiet():
            rows = prepare([talk.record() for talk in talks], self.template, tokenizer, **self.options)
            held_out = prepare([talk.record() for talk in tests], self.template, tokenizer, **self.options)
        self.watch("rows", 1, 1)
        prepared = time.perf_counter(), time.process_time()
        model = make_model(tokenizer, self.size, self.seed)
        audited, curve = self._train(model, tokenizer, rows, talks)
        trained = time.perf_counter(), time.process_time()
        answered = self._answers(model, tokenizer, tests)
        loss = held_out_loss(model, tokenizer, held_out, tests)
        ended = time.perf_counter(), time.process_time()
        return {
            "abilities": asdict(self.abilities),
            "model": {"parameters": model.num_parameters(), "vocabulary": len(tokenizer)},
            "data": {"talks": len(talks), "rows": len(rows), "tests": len(tests), "test_turns": len(answered)},
            "audit": audited,
            "training": curve,
            "loss": asdict(loss),
            **summary(answered, reasoning=self.abilities.reasoning, limit=self.size.limit),
            "seconds": _seconds([started, prepared, trained, ended]),
        }

    def _train(self, model: Any, tokenizer: Any, rows: Any, talks: Sequence[Talk]) -> tuple[Any, Any]:
        import torch
        from transformers import TrainerCallback
        from transformers.trainer_callback import PrinterCallback, ProgressCallback
        from trl import SFTTrainer

        from chattmpl.extra.trainer import audit, count_supervised, prepare, sft_config

        watch, size = self.watch, self.size

        class Steps(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                watch("training", state.global_step, state.max_steps)

        watch("training", 0, size.steps)
        fast = torch.cuda.is_available()
        with tempfile.TemporaryDirectory() as folder, _quiet():
            config = sft_config(
                rows,
                output_dir=folder,
                max_steps=size.steps,
                per_device_train_batch_size=size.batch,
                learning_rate=size.rate,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, size.steps // 20),
                adam_beta2=0.98,
                weight_decay=0.01,
                gradient_checkpointing=False,
                train_sampling_strategy="group_by_length",
                bf16=fast,
                logging_steps=max(1, size.steps // 50),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=self.seed,
            )

            def built(some: Any) -> Any:
                made = SFTTrainer(model=model, args=config, train_dataset=some, processing_class=tokenizer)
                for printing in (PrinterCallback, ProgressCallback):
                    made.remove_callback(printing)
                return made

            records = [talk.record() for talk in talks[:_AUDITED]]
            some = prepare(records, self.template, tokenizer, **self.options)
            found = audit(built(some), records, self.template, tokenizer, **self.options)
            trainer = built(rows)
            count_supervised(trainer)
            trainer.add_callback(Steps())
            trainer.train()
        history = [entry for entry in trainer.state.log_history if "loss" in entry and "supervised_tokens" in entry]
        curve = [{name: entry[name] for name in ("step", "loss", "supervised_total")} for entry in history]
        return {name: value for name, value in asdict(found).items() if name != "missing"}, {"curve": curve}

    def _answers(self, model: Any, tokenizer: Any, tests: Sequence[Talk]) -> list[Answered]:
        from chattmpl.extra.trainer import complete

        asked = [(talk, turn) for talk in tests for turn in talk.turns]
        done = 0

        def advanced(count: int) -> None:
            nonlocal done
            done += count
            self.watch("sampling", done, len(asked))

        prompts = [talk.conversation(turn.index) for talk, turn in asked]
        with _quiet():
            limits: dict[str, Any] = {"max_new_tokens": self.size.limit, "batch_size": 64, "clock": _CLOCK}
            completions = complete(model, tokenizer, self.template, prompts, advanced=advanced, **limits)
        return [Answered(turn, completion) for (_, turn), completion in zip(asked, completions, strict=True)]


def _seconds(marks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """How long each phase took, by the clock and in processor time."""
    names = ("rows", "training", "evaluation")
    phases: dict[str, Any] = {
        name: {"wall": round(marks[at + 1][0] - marks[at][0], 1), "cpu": round(marks[at + 1][1] - marks[at][1], 1)}
        for at, name in enumerate(names)
    }
    whole = {"wall": round(marks[-1][0] - marks[0][0], 1), "cpu": round(marks[-1][1] - marks[0][1], 1)}
    return {**phases, "all": whole}


@contextmanager
def _quiet() -> Any:
    """Without the talk of other libraries, which is not about what we do."""
    import datasets
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), datasets.utils.logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    datasets.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            datasets.utils.logging.enable_progress_bar()
