"""The experiment of a proof, from synthetic dialogues to measures and a verdict."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from chattmpl.errors import UsageError
from chattmpl.probing.facts import with_placeholders
from chattmpl.template.template import Template
from chattmpl.training.prove.dialogues import Dialogue, abilities_of, make_dialogues, with_reasoning
from chattmpl.training.prove.measures import held_out_loss, summarize
from chattmpl.training.prove.models import CLOCK, SIZES, Size, make_model, make_tokenizer
from chattmpl.training.prove.trainer import Progress, Schedule, sample_turns, train_model

_RENDERED = 600
"""Number of dialogues to train the tokenizer on."""

_AUDITED = 200
"""Number of dialogues whose rows are audited before training."""

READING = ("persona", "lookup", "tool call")
"""Tasks whose answer is in the prompt; a model fails them if it was not trained on what the prompt shows."""

_PERSONAS = 10
"""Number of answers about the persona from which one must be right; no model guesses a number of three digits."""


@dataclass(frozen=True)
class Thresholds:
    """The lowest accepted shares, from 0 to 1.

    Attributes:
        parse: completions that parse.
        stop: completions that end in a stop token.
        switch: turns that follow the mode.
        accuracy: right answers to tasks that only need reading.

    Raises:
        UsageError: a value is not a share.
    """

    parse: float = 0.95
    stop: float = 0.98
    switch: float = 0.9
    accuracy: float = 0.3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise UsageError(f"the threshold {name} must be from 0 to 1, not {value}", option=name)


def prove(
    template: Template,
    *,
    size: str = "default",
    seed: int = 0,
    steps: int | None = None,
    thresholds: Thresholds | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train a small model on a template, and measure whether it follows the template.

    ``seed`` is that of the data, the weights and the order of rows; ``steps`` replaces the number of optimizer steps of
    the size. A template without generation tags is annotated if possible; ``note`` receives a sentence about it.

    Returns:
        The report as JSON; docs/evidence/proofs.md documents its keys.

    Raises:
        UsageError: no grammar can be derived for the template, so completions could not be parsed.
        TemplateError: the template cannot be compiled.
    """
    from chattmpl.training.resolved_run import annotated_if_possible

    own_retention = template.retention
    template = with_reasoning(annotated_if_possible(with_placeholders(template), note)[0])
    size_ = SIZES[size] if steps is None else replace(SIZES[size], steps=steps)
    experiment = _Experiment(template, size_, seed, progress or (lambda *_: None))
    report = {
        "template": template.name,
        "retention": template.retention,
        "own_retention": own_retention,
        "size": {"name": size, **asdict(size_)},
        "seed": seed,
        **experiment.run(),
    }
    thresholds = thresholds or Thresholds()
    failures = find_failures(report, thresholds)
    return {**report, "thresholds": asdict(thresholds), "failures": failures, "trained": not failures}


class _Experiment:
    def __init__(self, template: Template, size: Size, seed: int, progress: Progress) -> None:
        self.template, self.size, self.seed, self.progress = template, size, seed, progress
        self.abilities = abilities_of(template)
        self.options: dict[str, Any] = {"clock": CLOCK}

    def run(self) -> dict[str, Any]:
        """Run the experiment, and return its measures."""
        from chattmpl.training.adapter import prepare
        from chattmpl.training.adapter.sft import quiet

        started = time.perf_counter(), time.process_time()
        dialogues = make_dialogues(self.size.talks, self.abilities, self.seed, test=False)
        tests = make_dialogues(self.size.tests, self.abilities, self.seed, test=True)
        self.progress("rows", 0, 1)
        rendered = [self.template.render(each.conversation(), clock=CLOCK) for each in dialogues[:_RENDERED]]
        tokenizer = make_tokenizer(self.template, rendered, self.size.merges)
        with quiet():
            rows = prepare([each.record() for each in dialogues], self.template, tokenizer, **self.options)
            held_out = prepare([each.record() for each in tests], self.template, tokenizer, **self.options)
        self.progress("rows", 1, 1)
        prepared = time.perf_counter(), time.process_time()
        model = make_model(tokenizer, self.size, self.seed)
        audit, curve = self._train(model, tokenizer, rows, dialogues)
        trained = time.perf_counter(), time.process_time()
        turns = sample_turns(model, tokenizer, self.template, tests, limit=self.size.limit, progress=self.progress)
        loss = held_out_loss(model, tokenizer, held_out, tests)
        ended = time.perf_counter(), time.process_time()
        return {
            "abilities": asdict(self.abilities),
            "model": {"parameters": model.num_parameters(), "vocabulary": len(tokenizer)},
            "data": {"talks": len(dialogues), "rows": len(rows), "tests": len(tests), "test_turns": len(turns)},
            "audit": audit,
            "training": curve,
            "loss": asdict(loss),
            **summarize(turns, reasoning=self.abilities.reasoning, limit=self.size.limit),
            "seconds": _seconds([started, prepared, trained, ended]),
        }

    def _train(self, model: Any, tokenizer: Any, rows: Any, dialogues: Sequence[Dialogue]) -> tuple[Any, Any]:
        from chattmpl.training.adapter import audit_batches, prepare

        size = self.size
        records = [each.record() for each in dialogues[:_AUDITED]]
        found: dict[str, Any] = {}

        def audit(build: Callable[[Any], Any]) -> None:
            trainer = build(prepare(records, self.template, tokenizer, **self.options))
            found.update(asdict(audit_batches(trainer, records, self.template, tokenizer, **self.options)))

        schedule = Schedule(size.steps, size.batch, size.rate)
        trained = train_model(model, tokenizer, rows, schedule, self.seed, progress=self.progress, audit=audit)
        return {name: value for name, value in found.items() if name != "missing"}, {"curve": trained.curve}


def _seconds(marks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the seconds of each phase, elapsed and of processor time."""
    names = ("rows", "training", "evaluation")
    phases: dict[str, Any] = {
        name: {"wall": round(marks[at + 1][0] - marks[at][0], 1), "cpu": round(marks[at + 1][1] - marks[at][1], 1)}
        for at, name in enumerate(names)
    }
    total = {"wall": round(marks[-1][0] - marks[0][0], 1), "cpu": round(marks[-1][1] - marks[0][1], 1)}
    return {**phases, "all": total}


def find_failures(report: Mapping[str, Any], thresholds: Thresholds) -> list[str]:
    """Return a sentence for each threshold that a report does not reach."""
    measured = [("parse", "completions that parse", report["parsed"])]
    measured.append(("stop", "completions that end in a stop token", report["stopped"]))
    if report["switching"] is not None:
        measured.append(("switch", "turns that follow the mode", report["switching"]["all"]))
    modes = [mode for kind in READING for mode in report["tasks"].get(kind, {}).values()]
    count, of = sum(mode["count"] for mode in modes), sum(mode["of"] for mode in modes)
    if of:
        measured.append(("accuracy", f"right answers to {', '.join(READING)}", {"share": count / of}))
    failures = [
        f"{what}: {100 * share['share']:.1f} %, less than {100 * getattr(thresholds, name):g} %"
        for name, what, share in measured
        if share["share"] is not None and share["share"] < getattr(thresholds, name)
    ]
    personas = report["tasks"].get("persona", {}).values()
    asked, right = sum(mode["of"] for mode in personas), sum(mode["count"] for mode in personas)
    if thresholds.accuracy and asked >= _PERSONAS and not right:
        failures.append(f"persona: none of {asked} answers is right; the system message may not reach the model")
    return failures
