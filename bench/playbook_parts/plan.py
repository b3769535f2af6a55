"""What a run is: data, stages of training, and held-out talks, all of it in what its key is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from chattmpl.training.prove.dialogues import Mix
from chattmpl.training.prove.models import Size
from chattmpl.training.prove.trainer import Schedule

ENGINE = 1
"""Counts up when the same configuration gives other numbers than before."""

MIX = Mix(kinds=("reverse",), digits=2, turns=(1, 3), lookups=0.0, system=0.6, flags=0.5, off=0.15)
"""Talks of one to three turns, in which flags switch reasoning: what most comparisons train on, and measure with."""

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
        mix: what its talks are made of.
        share: of the talks of the stage.
        altered: what is done to its talks, by a name in `playbook_parts.alterations.TALKS`.
    """

    mix: Mix = MIX
    share: float = 1.0
    altered: str = ""


@dataclass(frozen=True)
class Stage:
    """A stage of training.

    Attributes:
        talks: how many conversations it has.
        schedule: how long it trains; the batch is in documents, also where they are packed.
        template: a family.
        retention: its policy; by default its own.
        portions: what the talks are.
        unroll: one row for each turn, each behind its prompt.
        labels: what is done to labels, by a name in `playbook_parts.alterations.LABELS`.
        pack: documents for which a packed row has room, on average; 1 does not pack.
        lora: the rank of an adapter that is trained in place of the weights; 0 trains the weights.
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
    """A run, but for its seed.

    Attributes:
        size: of the model, and of what is measured.
        stages: of training, one after the other.
        suites: what is measured on: the talks of each suite, by its name; the first needs none.
    """

    size: Size
    stages: tuple[Stage, ...]
    suites: tuple[tuple[str, Mix], ...] = (("", MIX),)

    @property
    def key(self) -> str:
        """Twelve letters that are others for any other configuration."""
        return key_of({"engine": ENGINE, **asdict(self)})

    def stage(self, **changes: Any) -> Config:
        """The same with another last stage."""
        return replace(self, stages=(*self.stages[:-1], replace(self.stages[-1], **changes)))

    def schedule(self, **changes: Any) -> Config:
        """The same with another schedule of the last stage."""
        return self.stage(schedule=replace(self.stages[-1].schedule, **changes))


def key_of(said: dict[str, Any]) -> str:
    """Twelve letters that are others for any other values."""
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def base(size: Size) -> Config:
    """What arms are compared with: `hybrid` as it ships, one epoch of talks in which the mode changes."""
    return Config(size, (Stage(size.talks, Schedule(size.steps, size.batch, size.rate, "random")),))
