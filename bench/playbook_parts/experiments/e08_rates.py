"""A sweep of learning rates, padded and packed."""

from __future__ import annotations

from collections.abc import Mapping

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.experiments.e07_packing import packed
from playbook_parts.plan import Config, base

RATES = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2)


def arms(size: Size) -> Mapping[str, Config]:
    short = base(size).stage(talks=size.talks // 2).schedule(steps=max(1, size.steps // 2))
    made = {f"padded, {rate:g}": short.schedule(rate=rate) for rate in RATES}
    return made | {f"packed, {rate:g}": packed(short).schedule(rate=rate) for rate in RATES}


def swept(arm: str) -> tuple[str, float]:
    setting, _, rate = arm.partition(", ")
    return setting, float(rate)


EXPERIMENT = Experiment(
    number=8,
    name="A sweep of learning rates, 1e-6 to 1e-2",
    question=(
        "The padded and the packed arm of the previous comparison, at half the steps, with each of six learning rates. "
        "The best range of a setting is every rate whose mean loss is within 0.1 nats of the lowest."
    ),
    expectation=(
        "A model this small, from random weights, needs about 3e-3: 1e-6 and 1e-5 learn nothing in so few steps, 1e-4 "
        "learns little, and 1e-2 is at the edge. Both settings have the same number of documents per batch, so the "
        "best range is the same."
    ),
    arms=arms,
    measures=("loss", "mode followed", "right"),
    drawn=("loss",),
    swept=swept,
    claims=(
        Claim("1e-5 learns little", "loss", "padded, 1e-05", "padded, 0.003", "more"),
        Claim("3e-3 is better than 1e-4", "loss", "padded, 0.0001", "padded, 0.003", "more"),
        Claim("1e-2 is worse than 3e-3, padded", "loss", "padded, 0.01", "padded, 0.003", "more"),
        Claim("1e-2 is worse than 3e-3, packed", "loss", "packed, 0.01", "packed, 0.003", "more"),
        Claim("packed equals padded at 3e-3", "loss", "packed, 0.003", "padded, 0.003", "same", 0.1),
    ),
    short="The best rate is the same for both, 3e-3; whether 1e-2 is worse could not be shown.",
    remark=(
        "The best range is the same in both settings, and packing makes no difference at any rate. Up to 1e-3 the loss "
        "is what the rate allows in so few steps. Between 3e-3 and 1e-2 chance decides: the loss falls steeply when "
        "the model begins to copy, and whether that happens before the steps end differs from seed to seed, more so at "
        "1e-2. That 1e-2 is worse was not shown. The best rates here are those of a tiny model from random weights; "
        "for fine-tuning a large one they are far too high."
    ),
)
