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
        "The same number of dialogues: all without reasoning, all with it, half and half on different questions "
        "(unpaired), or half as many questions, each with and without (paired). The system message sets the mode "
        "(`enable_thinking`); there are no flags. Each model is measured in both modes: *on*, where reasoning is asked "
        "for, and *off*."
    ),
    expectation=(
        "A model of one mode answers in that mode whatever it is asked for; both hybrid mixtures follow the switch. "
        "Pairing affects neither that nor the answers: there are so few questions that either mixture contains nearly "
        "all of them. In its own mode a pure mixture is at least as good as the hybrids, since it trained on it twice "
        "as much."
    ),
    arms=arms,
    measures=("on: mode followed", "off: mode followed", "on: right", "off: right", "on: loss", "off: loss"),
    drawn=("on: mode followed", "off: mode followed", "on: right", "off: right"),
    claims=(
        Claim("instruct does not reason when asked to", "on: mode followed", "instruct", "hybrid, unpaired", "less"),
        Claim("thinking reasons when not asked to", "off: mode followed", "thinking", "hybrid, unpaired", "less"),
        Claim(
            "paired follows the mode as well as unpaired: on",
            "on: mode followed",
            "hybrid, paired",
            "hybrid, unpaired",
            "same",
        ),
        Claim(
            "paired follows the mode as well as unpaired: off",
            "off: mode followed",
            "hybrid, paired",
            "hybrid, unpaired",
            "same",
        ),
        Claim("paired answers as well as unpaired", "on: right", "hybrid, paired", "hybrid, unpaired", "same"),
        Claim("instruct answers better in its mode", "off: right", "instruct", "hybrid, unpaired", "more"),
    ),
    short="Pure mixtures answer only in their mode; hybrids follow the switch, paired or not.",
    remark=(
        "Modes are exactly as expected: a model of one mode never answers in the other, and both hybrids follow the "
        "switch in every turn. A thinking model that is asked not to think reasons anyway and gets half of its answers "
        "wrong, after a prompt that it never saw; an instruct model that is asked to think loses less. For answers, "
        "the hybrids have too few seeds: with one of them, the paired model had not learned to copy when training "
        "ended, and the unpaired one only with reasoning. This makes the intervals wide."
    ),
)
