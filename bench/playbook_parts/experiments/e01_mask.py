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
    question="The same rows, model and steps; labels are what the template says, or every token of the row.",
    expectation=(
        "Both learn the format. With all tokens the loss is a mean over prompts too, which are two thirds of the "
        "tokens and in part random, so fewer of the gradients are about answers: after as many steps the loss on "
        "answers is higher and fewer answers are right. Prompts may also teach something, such as to copy digits, so "
        "the effect may be small."
    ),
    arms=arms,
    measures=("stopped", "parsed", "mode followed", "persona", "reverse", "right", "loss"),
    drawn=("mode followed", "persona", "reverse", "right"),
    claims=(
        Claim("as many stop", "stopped", "all tokens", "assistant only", "same"),
        Claim("the loss on answers is higher with all tokens", "loss", "all tokens", "assistant only", "more"),
        Claim("fewer answers are right with all tokens", "right", "all tokens", "assistant only", "less"),
    ),
    short="Training on all tokens learns the format as well, and far fewer answers in as many steps.",
    remark=(
        "The format is learned as well either way. What was thought to be a small effect is a large one: after as "
        "many steps the model that trains on all tokens copies hardly any number and, but for one seed of three, "
        "reverses none. It is the one seed that makes the interval of the loss wide. This is about how soon a small "
        "model from random weights learns; one that can do the tasks already has less to lose."
    ),
)
