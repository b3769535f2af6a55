"""Assistant-only mask against training on all tokens."""

from __future__ import annotations

from collections.abc import Mapping

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import Config, base


def arms(size: Size) -> Mapping[str, Config]:
    return {"assistant only": base(size), "all tokens": base(size).stage(labels="all tokens")}


EXPERIMENT = Experiment(
    number=1,
    name="Assistant-only mask against training on all tokens",
    question="The same rows, model and steps; labels are those of the template, or every token of the row.",
    expectation=(
        "Both learn the format. With all tokens, the loss is also a mean over prompts, which are two thirds of the "
        "tokens and partly random, so less of the gradient is about answers: after the same number of steps, the loss "
        "on answers is higher and fewer answers are right. Prompts may also teach something, such as copying digits, "
        "so the effect may be small."
    ),
    arms=arms,
    measures=("stopped", "parsed", "mode followed", "persona", "reverse", "right", "loss"),
    drawn=("mode followed", "persona", "reverse", "right"),
    claims=(
        Claim("the same number stop", "stopped", "all tokens", "assistant only", "same"),
        Claim("the loss on answers is higher with all tokens", "loss", "all tokens", "assistant only", "more"),
        Claim("fewer answers are right with all tokens", "right", "all tokens", "assistant only", "less"),
    ),
    short="Training on all tokens learns the format equally well, but far fewer answers in the same number of steps.",
    remark=(
        "Both learn the format equally well. The effect on answers is large, not small: after the same number of "
        "steps, the model that trains on all tokens copies hardly any number and, except with one of three seeds, "
        "reverses none. That seed makes the interval of the loss wide. This is about how fast a small model learns "
        "from random weights; a model that can already do the tasks has less to lose."
    ),
)
