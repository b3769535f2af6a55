"""Instruct, thinking and hybrid mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chattmpl.training.prove.models import Size
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import MIX, Config, Portion, base

ON, OFF = replace(MIX, flags=0.0, off=0.0), replace(MIX, flags=0.0, off=1.0)


def arms(size: Size) -> Mapping[str, Config]:
    plain = replace(base(size), suites=(("on", ON), ("off", OFF)))
    return {
        "instruct": plain.stage(portions=(Portion(OFF),)),
        "thinking": plain.stage(portions=(Portion(ON),)),
        "hybrid, unpaired": plain.stage(portions=(Portion(ON, 0.5), Portion(OFF, 0.5))),
        "hybrid, paired": plain.stage(portions=(Portion(ON, 1.0, "in both modes"),)),
    }


EXPERIMENT = Experiment(
    number=4,
    name="Instruct, thinking and hybrid mixtures, each in both modes",
    question=(
        "As many talks each: all without reasoning, all with it, half and half on different questions (unpaired), or "
        "half as many questions, each with and without (paired). The mode stands in the system turn "
        "(`enable_thinking`), there are no flags. Each is measured in both modes: *on*, where a trace is asked for, "
        "and *off*."
    ),
    expectation=(
        "A model of one mode answers in that mode whatever it is asked for; both hybrid mixtures follow the switch. "
        "Pairing makes no difference to that, nor to answers: there are few enough questions that either mixture has "
        "nearly all of them. In its own mode a pure mixture is as good as the hybrids or better, for it trained "
        "twice as much on it."
    ),
    arms=arms,
    measures=("on: mode followed", "off: mode followed", "on: right", "off: right", "on: loss", "off: loss"),
    drawn=("on: mode followed", "off: mode followed", "on: right", "off: right"),
    claims=(
        Claim("instruct does not reason when asked to", "on: mode followed", "instruct", "hybrid, unpaired", "less"),
        Claim("thinking reasons when not asked to", "off: mode followed", "thinking", "hybrid, unpaired", "less"),
        Claim("paired follows as unpaired does: on", "on: mode followed", "hybrid, paired", "hybrid, unpaired", "same"),
        Claim(
            "paired follows as unpaired does: off", "off: mode followed", "hybrid, paired", "hybrid, unpaired", "same"
        ),
        Claim("paired answers as unpaired does", "on: right", "hybrid, paired", "hybrid, unpaired", "same"),
        Claim("instruct answers better in its mode", "off: right", "instruct", "hybrid, unpaired", "more"),
    ),
    short="Pure mixtures answer in one mode only; hybrids follow the switch, paired or not.",
    remark=(
        "Modes came exactly as expected: no model of one mode ever answers in the other, and both hybrids follow the "
        "switch in every turn. A thinking model that is asked not to think reasons all the same and has half of its "
        "answers wrong, behind a prompt that it never saw; the instruct model that is asked to think loses less. On "
        "answers the hybrids have too few seeds: with one of them, when training ended, the paired model had not "
        "learned to copy, and the unpaired one only with reasoning. That is why the intervals are so wide."
    ),
)
