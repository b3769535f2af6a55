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
        "Talks of up to three turns. Earlier traces stay (`all`), or are dropped when the user speaks again: then "
        "either in one row for a conversation, in which earlier turns are trained without the trace that they were "
        "sampled with, or in a row for each turn behind its own prompt. Each arm is measured with its own retention; "
        "steps and rows a step are the same, so the unrolled arm sees fewer conversations."
    ),
    expectation=(
        "One row a conversation under `since_last_user` teaches that a turn which is not the last has no trace, and "
        "at inference every turn is the last: the model leaves out traces that are asked for, most in the first "
        "turn, which is rarely last in training. Unrolled rows and `all` have no such contradiction and follow the "
        "mode alike."
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
            "one row a conversation leaves out traces that unrolled rows have",
            "trace when asked for",
            WHOLE,
            UNROLLED,
            "less",
        ),
        Claim("it follows the mode less in the first turn too", "mode followed, turn 1", WHOLE, UNROLLED, "less"),
        Claim("one row follows the mode less than `all`", "mode followed", WHOLE, "all", "less"),
        Claim("unrolled rows follow the mode as `all` does", "mode followed", UNROLLED, "all", "same"),
    ),
    short="One row a conversation under `since_last_user` teaches early turns to leave traces out; unrolled, not.",
    remark=(
        "One row for a conversation under `since_last_user` teaches what was expected, by turn: in the third turn, "
        "which is always last when it is trained, the mode is followed as under `all`; in the first, two of three "
        "turns have no trace where they should, or one where they should not. Unrolled rows follow the mode nearly "
        "as `all` does: after as many steps on half the conversations, one seed of three does not yet leave traces "
        "out where it should, and another has not yet learned to copy."
    ),
)
