"""Single-turn reasoning data, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import MIX, Config, Portion, base

SINGLE, SWITCHING = "single-turn reasoning", "multi-turn switching added"
ONE_TURN = Portion(replace(MIX, turns=(1, 1), off=0.0), 0.5)
SILENT = replace(MIX, turns=(2, 3), flags=0.0, off=1.0)


def arms(size: Size) -> Mapping[str, Config]:
    added = Portion(replace(MIX, turns=(2, 3)), 0.25)
    return {
        SINGLE: base(size).stage(portions=(ONE_TURN, Portion(SILENT, 0.5))),
        SWITCHING: base(size).stage(portions=(ONE_TURN, Portion(SILENT, 0.25), added)),
    }


EXPERIMENT = Experiment(
    number=3,
    name="Single-turn reasoning data against multi-turn mode switching",
    question=(
        "Half of the dialogues have one turn, with flags that switch reasoning. The other half have two or three "
        "turns: all without reasoning and flags, or half of them with flags at random turns. The number of dialogues, "
        "steps and rows per step is the same."
    ),
    expectation=(
        "A model whose reasoning data has only single turns follows the mode in the first turn but not in later ones, "
        "in which it has seen no reasoning. A quarter of dialogues with switches at any turn fixes this. In the first "
        "turn, both are equal."
    ),
    arms=arms,
    measures=(
        "mode followed, turn 1",
        "mode followed, turn 2",
        "mode followed, turn 3",
        "trace when asked for",
        "right",
        "loss",
    ),
    drawn=("mode followed, turn 1", "mode followed, turn 2", "mode followed, turn 3", "trace when asked for", "right"),
    claims=(
        Claim("less in the second turn", "mode followed, turn 2", SINGLE, SWITCHING, "less"),
        Claim("less in the third turn", "mode followed, turn 3", SINGLE, SWITCHING, "less"),
        Claim("equal in the first turn", "mode followed, turn 1", SINGLE, SWITCHING, "same", 0.1),
    ),
    short=(
        "Single-turn reasoning data does not teach switching in later turns; a quarter of switching dialogues fixes "
        "this."
    ),
    remark=(
        "As expected in kind: both follow the mode in the first turn, but in later turns only the model whose data "
        "switches there. The failures of the single-turn model vary so much from seed to seed that the interval of the "
        "second turn is wide. They are one-sided: reasoning that is asked for is omitted, while turns that should have "
        "none have none."
    ),
)
