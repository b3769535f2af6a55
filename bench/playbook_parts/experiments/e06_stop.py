"""A mask with the stop token left out."""

from __future__ import annotations

from collections.abc import Mapping

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import Config, base

LEFT_OUT = "stop token left out"


def arms(size: Size) -> Mapping[str, Config]:
    return {"with the stop token": base(size), LEFT_OUT: base(size).stage(labels="without stop")}


EXPERIMENT = Experiment(
    number=6,
    name="A mask with the stop token left out",
    question="The same rows, but the label of each stop token is -100.",
    expectation=(
        "A token that is never trained is never sampled: no completion stops, all run into the limit, and the text "
        "after the answer makes nearly all of them wrong. The training loss shows nothing."
    ),
    arms=arms,
    measures=("stopped", "parsed", "mode followed", "right", "training loss", "loss"),
    drawn=("stopped", "parsed", "mode followed", "right"),
    claims=(
        Claim("completions do not stop", "stopped", LEFT_OUT, "with the stop token", "less"),
        Claim("answers are wrong", "right", LEFT_OUT, "with the stop token", "less"),
        Claim("the training loss is the same", "training loss", LEFT_OUT, "with the stop token", "same", 0.1),
    ),
    short="Without the stop token in the mask nothing stops, and neither training loss nor parse rate shows it.",
    remark=(
        "As expected. Two of the usual signs miss it completely: the training loss, and the share of completions that "
        "parse, since the parser also reads truncated text. The share that stop shows it, and so does the loss on "
        "held-out rows whose labels include the stop token."
    ),
)
