"""The experiment: a small model, trained from scratch in a template, and what it does on held-out prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from chattmpl.data.quiet import quiet
from chattmpl.template.template import Template
from chattmpl.training.prove.dialogues import Talk, abilities_of, make_talks, rendering_traces
from chattmpl.training.prove.measures import held_out_loss, summary
from chattmpl.training.prove.models import make_model, make_tokenizer
from chattmpl.training.prove.sizes import SIZES, Size
from chattmpl.training.prove.trainer import CLOCK, Schedule, Watch, answers, train
from chattmpl.training.prove.verdict import Thresholds, failures

_RENDERED = 600
"""Talks that the tokenizer is made of."""

_AUDITED = 200
"""Talks whose rows are audited before training."""


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
        size: a name in `chattmpl.training.prove.sizes.SIZES`.
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
        self.options: dict[str, Any] = {"unroll": unroll, "clock": CLOCK}

    def run(self) -> dict[str, Any]:
        """The experiment, from data to numbers."""
        from chattmpl.training.adapter import prepare

        started = time.perf_counter(), time.process_time()
        talks = make_talks(self.size.talks, self.abilities, self.seed, test=False)
        tests = make_talks(self.size.tests, self.abilities, self.seed, test=True)
        self.watch("rows", 0, 1)
        rendered = [self.template.render(talk.conversation(), clock=CLOCK) for talk in talks[:_RENDERED]]
        tokenizer = make_tokenizer(self.template, rendered, self.size.merges)
        with quiet():
            rows = prepare([talk.record() for talk in talks], self.template, tokenizer, **self.options)
            held_out = prepare([talk.record() for talk in tests], self.template, tokenizer, **self.options)
        self.watch("rows", 1, 1)
        prepared = time.perf_counter(), time.process_time()
        model = make_model(tokenizer, self.size, self.seed)
        audited, curve = self._train(model, tokenizer, rows, talks)
        trained = time.perf_counter(), time.process_time()
        answered = answers(model, tokenizer, self.template, tests, limit=self.size.limit, watch=self.watch)
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
        from chattmpl.training.adapter import audit, prepare

        size = self.size
        records = [talk.record() for talk in talks[:_AUDITED]]
        found: dict[str, Any] = {}

        def audited(make: Callable[[Any], Any]) -> None:
            some = prepare(records, self.template, tokenizer, **self.options)
            found.update(asdict(audit(make(some), records, self.template, tokenizer, **self.options)))

        schedule = Schedule(size.steps, size.batch, size.rate)
        trained = train(model, tokenizer, rows, schedule, self.seed, watch=self.watch, built=audited)
        return {name: value for name, value in found.items() if name != "missing"}, {"curve": trained.curve}


def _seconds(marks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """How long each phase took, by the clock and in processor time."""
    names = ("rows", "training", "evaluation")
    phases: dict[str, Any] = {
        name: {"wall": round(marks[at + 1][0] - marks[at][0], 1), "cpu": round(marks[at + 1][1] - marks[at][1], 1)}
        for at, name in enumerate(names)
    }
    whole = {"wall": round(marks[-1][0] - marks[0][0], 1), "cpu": round(marks[-1][1] - marks[0][1], 1)}
    return {**phases, "all": whole}
