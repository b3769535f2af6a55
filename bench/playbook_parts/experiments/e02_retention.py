"""Retention in multi-turn reasoning."""

from __future__ import annotations

from collections.abc import Mapping

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import Config, base

WHOLE, UNROLLED = "since_last_user, one row", "since_last_user, unrolled"


def arms(size: Size) -> Mapping[str, Config]:
    dropped = base(size).stage(retention="since_last_user")
    return {"all": base(size), WHOLE: dropped, UNROLLED: dropped.stage(unroll=True)}


EXPERIMENT = Experiment(
    number=2,
    name="Retention all against since_last_user against unrolled rows",
    question=(
        "Dialogues of up to three turns. Reasoning of earlier turns is kept (`all`), or dropped when the user speaks "
        "again: either with one row per conversation, in which earlier turns are trained without the reasoning that "
        "was sampled with them, or with one row per turn, after its own prompt. Each arm is measured with its own "
        "retention. Steps and rows per step are the same, so the unrolled arm sees fewer conversations."
    ),
    expectation=(
        "One row per conversation under `since_last_user` teaches that a turn that is not the last has no reasoning, "
        "but at inference every turn is the last: the model omits reasoning that is asked for, mostly in the first "
        "turn, which is rarely last in training. Unrolled rows and `all` have no such contradiction and follow the "
        "mode equally well."
    ),
    arms=arms,
    measures=(
        "mode followed",
        "mode followed, turn 1",
        "mode followed, turn 3",
        "trace when asked for",
        "right",
        "loss",
    ),
    drawn=("mode followed, turn 1", "mode followed, turn 2", "mode followed, turn 3", "trace when asked for", "right"),
    claims=(
        Claim(
            "one row per conversation omits reasoning that unrolled rows have",
            "trace when asked for",
            WHOLE,
            UNROLLED,
            "less",
        ),
        Claim("it also follows the mode less in the first turn", "mode followed, turn 1", WHOLE, UNROLLED, "less"),
        Claim("one row follows the mode less than `all`", "mode followed", WHOLE, "all", "less"),
        Claim("unrolled rows follow the mode as well as `all`", "mode followed", UNROLLED, "all", "same"),
    ),
    short=(
        "One row per conversation under `since_last_user` teaches the model to omit reasoning in early turns; unrolled "
        "rows do not."
    ),
    remark=(
        "One row per conversation under `since_last_user` has the expected effect, turn by turn. In the third turn, "
        "which is always last in training, the mode is followed as well as under `all`; in the first, two of three "
        "turns lack reasoning that they should have, or have reasoning that they should not. Unrolled rows follow the "
        "mode nearly as well as `all`: after the same number of steps on half the conversations, one seed of three "
        "does not yet omit reasoning where it should, and another has not yet learned to copy."
    ),
)
