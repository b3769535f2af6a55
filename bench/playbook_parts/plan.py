"""The configuration of a run: data, stages of training and held-out dialogues, all of which its key covers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from chattmpl.training.prove.dialogues import Mix
from chattmpl.training.prove.models import Size
from chattmpl.training.prove.trainer import Schedule

ENGINE = 1
"""Incremented when the same configuration gives other numbers than before."""

MIX = Mix(kinds=("reverse",), digits=2, turns=(1, 3), lookups=0.0, system=0.6, flags=0.5, off=0.15)
"""Dialogues of one to three turns in which flags switch reasoning, for training and measuring in most comparisons."""

SIZES = {
    "tiny": Size(16, 1, 2, talks=40, steps=4, batch=4, rate=5e-3, tests=4, merges=200, limit=12),
    "default": Size(64, 2, 4, talks=3200, steps=200, batch=16, rate=5e-3, tests=60, merges=200, limit=32),
    "gpu": Size(256, 4, 8, talks=38400, steps=600, batch=64, rate=2e-3, tests=200, merges=200, limit=32),
}
"""``tiny`` is for tests of the code, and learns nothing."""


@dataclass(frozen=True)
class Portion:
    """A part of the data of a stage.

    Attributes:
        mix: distribution of its dialogues.
        share: share of the dialogues of the stage.
        altered: name of an alteration in `playbook_parts.alterations.DIALOGUES`.
    """

    mix: Mix = MIX
    share: float = 1.0
    altered: str = ""


@dataclass(frozen=True)
class Stage:
    """A stage of training.

    Attributes:
        talks: number of dialogues.
        schedule: length of the training; the batch is in documents, even if they are packed.
        template: a family.
        retention: its retention policy; that of the family by default.
        portions: the data.
        unroll: one row for each turn, after its prompt.
        labels: name of an alteration in `playbook_parts.alterations.LABELS`.
        pack: average number of documents in a packed row; 1 does not pack.
        lora: rank of an adapter to train instead of the weights; 0 trains the weights.
    """

    talks: int
    schedule: Schedule
    template: str = "hybrid"
    retention: str | None = None
    portions: tuple[Portion, ...] = (Portion(),)
    unroll: bool = False
    labels: str = ""
    pack: int = 1
    lora: int = 0


@dataclass(frozen=True)
class Config:
    """A run, except its seed. Field names are part of the key of stored results.

    Attributes:
        size: size of the model and of the evaluation.
        stages: stages of training, in order.
        suites: distributions of held-out dialogues, by name; the name of the first may be empty.
    """

    size: Size
    stages: tuple[Stage, ...]
    suites: tuple[tuple[str, Mix], ...] = (("", MIX),)

    @property
    def key(self) -> str:
        """A hash of the configuration, as twelve hexadecimal digits."""
        return key_of({"engine": ENGINE, **asdict(self)})

    def stage(self, **changes: Any) -> Config:
        """Return the configuration with changes to its last stage."""
        return replace(self, stages=(*self.stages[:-1], replace(self.stages[-1], **changes)))

    def schedule(self, **changes: Any) -> Config:
        """Return the configuration with changes to the schedule of its last stage."""
        return self.stage(schedule=replace(self.stages[-1].schedule, **changes))


def key_of(values: dict[str, Any]) -> str:
    """Return a hash of JSON values, as twelve hexadecimal digits."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def base(size: Size) -> Config:
    """Return the baseline: `hybrid` as it ships, one epoch of dialogues in which the mode changes."""
    return Config(size, (Stage(size.talks, Schedule(size.steps, size.batch, size.rate, "random")),))
