"""One epoch against five, and full fine-tuning against LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.experiments.e04_mixtures import OFF
from playbook_parts.plan import Config, Portion, base

ONE, SHORT, FIVE = "one epoch of all", "one epoch of a fifth", "five epochs of a fifth"
FULL, LORA, HIGHER = "full", "LoRA, same rate", "LoRA, four times the rate"
RANK = 8


def arms(size: Size) -> Mapping[str, Config]:
    whole = base(size)
    fifth = whole.stage(talks=size.talks // 5)
    first = whole.stage(portions=(Portion(OFF),)).stages[0]
    second = whole.stage(talks=size.talks // 2).schedule(steps=max(1, size.steps // 2), rate=size.rate / 2)
    full = replace(second, stages=(first, *second.stages))
    lora = full.stage(lora=RANK)
    return {
        ONE: whole,
        SHORT: fifth.schedule(steps=max(1, size.steps // 5)),
        FIVE: fifth,
        FULL: full,
        LORA: lora,
        HIGHER: lora.schedule(rate=2 * size.rate),
    }


EXPERIMENT = Experiment(
    number=9,
    name="One epoch against five, and full fine-tuning against LoRA",
    question=(
        "Epochs: a fifth of the dialogues once, the same fifth five times, and all of them once, which takes the same "
        "number of steps. LoRA: a model trained without reasoning is trained on dialogues with both modes for half the "
        "steps, at half the rate: all weights, or adapters of rank 8 on all linear layers, at the same rate and at "
        "four times the rate."
    ),
    expectation=(
        "Five epochs of a fifth are far better than one, which has too few steps, and about as good as one epoch of "
        "all: at this size the number of steps counts, and the tasks have so few questions that repeating them hides "
        "nothing. LoRA learns to switch the mode, more slowly than full fine-tuning at the same rate, and about as "
        "well at four times the rate."
    ),
    arms=arms,
    measures=("trainable", "mode followed", "reverse", "persona", "right", "loss"),
    drawn=("mode followed", "right"),
    claims=(
        Claim("five epochs are better than one", "loss", FIVE, SHORT, "less"),
        Claim("and as good as the same number of steps on more data", "loss", FIVE, ONE, "same", 0.1),
        Claim("LoRA at the same rate learns less", "loss", LORA, FULL, "more"),
        Claim("at four times the rate it follows the mode equally well", "mode followed", HIGHER, FULL, "same"),
    ),
    short="Five epochs of a fifth are as good as new dialogues; LoRA needs a higher rate.",
    remark=(
        "The number of steps counts: one epoch of a fifth is too short to learn a single answer, and the same fifth "
        "five times is as good as new dialogues in the same number of steps, even a little better (the interval of the "
        "loss excludes 0). The dialogues are generated from few questions, so nothing overfits; this says nothing "
        "about real data, for which five epochs may be too many, depending on its size. LoRA at the same rate learns "
        "much less; at four times the rate it comes close in answers, and switches the mode less well with two of the "
        "seeds. The full fine-tuning is itself unfinished at half the rate, and differs so much between seeds that the "
        "last line shows nothing."
    ),
)
