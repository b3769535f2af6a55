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
        "Half of the talks have one turn, with flags that switch reasoning. The other half have two or three turns: "
        "all without reasoning and without flags, or half of them with flags at random turns. As many talks, steps "
        "and rows a step."
    ),
    expectation=(
        "A model whose reasoning data has single turns only follows the mode in the first turn and not in later "
        "ones: there it has seen no trace. A quarter of the talks with switches at any turn mends it. In the first "
        "turn both are alike."
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
        Claim("alike in the first turn", "mode followed, turn 1", SINGLE, SWITCHING, "same", 0.1),
    ),
    short="Single-turn reasoning data does not switch the mode in later turns; a quarter of switching talks mends it.",
    remark=(
        "As expected in kind: in the first turn the mode is followed by both, in later ones only where the data "
        "switches there. How often the single-turn model fails varies so much from seed to seed that the interval of "
        "the second turn is wide. It fails on one side: traces that are asked for are left out, while turns that are "
        "to have none have none."
    ),
)
