"""The runner of a configuration: data, tokenizer, stages of training, and measured figures."""

from __future__ import annotations

import gc
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from chattmpl import Template
from chattmpl.training.adapter.sft import quiet
from chattmpl.training.prove.dialogues import Dialogue, abilities_of, make_dialogues
from chattmpl.training.prove.measures import SampledTurn, held_out_loss, summarize
from chattmpl.training.prove.models import CLOCK, make_model, make_tokenizer
from chattmpl.training.prove.trainer import TrainedModel, sample_turns, train_model
from playbook_parts.alterations import DIALOGUES, LABELS
from playbook_parts.plan import MIX, Config, Stage, key_of

_TEXTS = 600
"""Number of dialogues to train the tokenizer on."""

_KEPT = 4
"""Number of weights after first stages that are kept for other arms of the same seed."""

_APART = 1_000_000
"""Distance between the seeds of portions."""

Figures = dict[str, Any]
"""Counts as ``[count, total]``, and numbers."""


class Runner:
    """Runner of configurations, which computes once what arms share."""

    def __init__(self) -> None:
        self._weights: dict[str, dict[str, Any]] = {}
        self._tokenizers: dict[tuple[int, int], Any] = {}

    def run(self, config: Config, seed: int) -> Figures:
        """Train a configuration, and return its figures."""
        tokenizer = self._tokenizers.get((seed, config.size.merges))
        if tokenizer is None:
            tokenizer = self._tokenizers[seed, config.size.merges] = _tokenizer(config, seed)
        model, trained, figures = self._trained(config, tokenizer, seed)
        figures |= _training(trained, model)
        last = config.stages[-1]
        template = Template.load(last.template, retention=last.retention)
        for name, mix in config.suites:
            tests = make_dialogues(config.size.tests, abilities_of(template), seed, test=True, mix=mix)
            turns = sample_turns(model, tokenizer, template, tests, limit=config.size.limit)
            measured = count_turns(turns, config.size.limit)
            options: dict[str, Any] = {"clock": CLOCK}
            with quiet():
                from chattmpl.training.adapter import prepare

                rows = prepare([dialogue.record() for dialogue in tests], template, tokenizer, **options)
            loss = held_out_loss(model, tokenizer, rows, tests)
            measured |= {"loss": loss.nats, "floor": loss.floor}
            figures |= {f"{name}: {key}" if name else key: value for key, value in measured.items()}
        del model, trained
        gc.collect()
        return figures

    def _trained(self, config: Config, tokenizer: Any, seed: int) -> tuple[Any, TrainedModel, Figures]:
        model = make_model(tokenizer, config.size, seed)
        *first, last = config.stages
        for number, stage in enumerate(first, start=1):
            key = f"{key_of({'size': asdict(config.size), 'of': [asdict(each) for each in first[:number]]})} {seed}"
            if key not in self._weights:
                rows, batch, _ = _rows(stage, tokenizer, seed)
                self._keep(key, _fit(model, tokenizer, rows, stage, batch, seed).model)
            # A new model: trl patches the `forward` of the one that it trained, and a copy would share it.
            model = make_model(tokenizer, config.size, seed)
            model.load_state_dict(self._weights[key])
        rows, batch, figures = _rows(last, tokenizer, seed)
        trained = _fit(model, tokenizer, rows, last, batch, seed)
        return trained.model, trained, figures

    def _keep(self, key: str, model: Any) -> None:
        while len(self._weights) >= _KEPT:
            self._weights.pop(next(iter(self._weights)))
        self._weights[key] = {name: value.detach().clone() for name, value in model.state_dict().items()}


def _tokenizer(config: Config, seed: int) -> Any:
    """Return the tokenizer of all arms of a seed."""
    template = Template.load("hybrid")
    dialogues = make_dialogues(_TEXTS, abilities_of(template), seed, test=False, mix=MIX)
    rendered = [template.render(dialogue.conversation(), clock=CLOCK) for dialogue in dialogues]
    return make_tokenizer(template, rendered, config.size.merges)


def stage_dialogues(stage: Stage, seed: int) -> list[Dialogue]:
    """Return the dialogues of a stage, altered and in random order."""
    # Dialogues that hybrid can render; for a template that cannot, they are altered.
    abilities = abilities_of(Template.load("hybrid"))
    made: list[Dialogue] = []
    for number, portion in enumerate(stage.portions):
        # Portions with the same seed would have the same questions.
        count, stream = round(stage.talks * portion.share), seed + _APART * number
        some = make_dialogues(count, abilities, stream, test=False, mix=portion.mix)
        made += DIALOGUES[portion.altered](some)
    if len(stage.portions) > 1 or stage.portions[0].altered:
        random.Random(seed).shuffle(made)
    return made


def _rows(stage: Stage, tokenizer: Any, seed: int) -> tuple[Any, int, Figures]:
    """Return rows, their number in a batch, and figures of them."""
    from chattmpl.training.adapter import prepare, stop_ids

    template = Template.load(stage.template, retention=stage.retention)
    records = [dialogue.record() for dialogue in stage_dialogues(stage, seed)]
    options: dict[str, Any] = {"rows": "auto" if stage.unroll else "one", "clock": CLOCK}
    batch = stage.schedule.batch
    with quiet():
        rows = prepare(records, template, tokenizer, **options)
        lengths = [len(ids) for ids in rows["input_ids"]]
        if stage.pack > 1:
            room = max(*lengths, round(stage.pack * sum(lengths) / len(lengths)))
            rows = prepare(records, template, tokenizer, pack=room, **options)
            batch = max(1, round(batch / stage.pack))
        if stage.labels:
            change, stops = LABELS[stage.labels], frozenset(stop_ids(template, tokenizer))
            changed = [
                change(ids, labels, stops) for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True)
            ]
            rows = rows.remove_columns("labels").add_column("labels", changed)
    supervised = sum(label != -100 for labels in rows["labels"] for label in labels)
    counts = {"documents": len(lengths), "rows": len(rows), "tokens": sum(lengths), "supervised": supervised}
    return rows, batch, {"data": counts}


def _fit(model: Any, tokenizer: Any, rows: Any, stage: Stage, batch: int, seed: int) -> TrainedModel:
    schedule = replace(stage.schedule, batch=batch)
    peft_config = None
    if stage.lora:
        from peft import LoraConfig

        peft_config = LoraConfig(
            r=stage.lora, lora_alpha=2 * stage.lora, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    return train_model(model, tokenizer, rows, schedule, seed, peft_config=peft_config)


def _training(trained: TrainedModel, model: Any) -> Figures:
    free = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    final = trained.curve[-1] if trained.curve else {"loss": None, "supervised_total": 0}
    return {
        "trainable": free,
        "training loss": final["loss"],
        "supervised tokens": final["supervised_total"],
        "tokens a second": trained.tokens / max(trained.cpu, 1e-9),
        "cpu": round(trained.cpu, 1),
        "wall": round(trained.wall, 1),
    }


def count_turns(turns: Sequence[SampledTurn], limit: int) -> Figures:
    """Return the counts of sampled turns, as ``[count, total]`` by name."""
    summary = summarize(turns, reasoning=True, limit=limit)
    found = {"stopped": summary["stopped"], "parsed": summary["parsed"]}
    switching = summary["switching"]
    found |= {"mode followed": switching["all"], "trace when asked for": switching["to_think"]}
    found |= {"no trace when not asked for": switching["not_to_think"]}
    found |= {f"mode followed, turn {number}": share for number, share in switching["by_turn"].items()}
    figures: Figures = {name: [share["count"], share["of"]] for name, share in found.items()}
    for kind, modes in summary["tasks"].items():
        figures[kind] = _sum(modes.values())
    for mode in ("with_reasoning", "without_reasoning"):
        figures[f"right, {mode.replace('_', ' ')}"] = _sum(modes[mode] for modes in summary["tasks"].values())
    figures["right"] = _sum(share for modes in summary["tasks"].values() for share in modes.values())
    return figures


def _sum(shares: Any) -> list[int]:
    every: list[Mapping[str, Any]] = list(shares)
    return [sum(share["count"] for share in every), sum(share["of"] for share in every)]
