"""What a comparison is, and where they are found: each is a module in `playbook_parts.experiments`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from chattmpl.training.prove.models import Size
from playbook_parts import experiments
from playbook_parts.plan import Config

Expected = Literal["more", "less", "same"]


@dataclass(frozen=True)
class Claim:
    """What is expected of two arms, so that the figures can say whether it came so.

    Attributes:
        says: the sentence.
        measure: of what; a name in the figures of a run.
        arm, than: the arms that are compared.
        expected: whether the first has more, less, or as much.
        within: how far apart two that have as much may be: in shares, or in nats. An effect that was expected and is
            surely less than that was not seen.
    """

    says: str
    measure: str
    arm: str
    than: str
    expected: Expected
    within: float = 0.05


@dataclass(frozen=True)
class Experiment:
    """A controlled comparison.

    Attributes:
        number: in the order of the page.
        name: a heading.
        question: what is compared, and what is held the same.
        expectation: what was expected, written before the run.
        arms: the runs of a size, by name.
        measures: what the table shows.
        claims: the expectation, in figures.
        drawn: the measures of the plot.
        notes: texts that are made once, without training, by name.
        short, remark: what is to be said of the outcome, in a line and at length; written after the run.
        swept: the values of a swept setting by arm, for a plot over it.
    """

    number: int
    name: str
    question: str
    expectation: str
    arms: Callable[[Size], Mapping[str, Config]]
    measures: tuple[str, ...]
    claims: tuple[Claim, ...]
    drawn: tuple[str, ...]
    notes: Mapping[str, Callable[[], str]] | None = None
    short: str = ""
    remark: str = ""
    swept: Callable[[str], tuple[str, float]] | None = None


def all_experiments() -> list[Experiment]:
    """Every comparison, in the order of their numbers."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    modules = [importlib.import_module(f"{experiments.__name__}.{name}") for name in names]
    return sorted((module.EXPERIMENT for module in modules), key=lambda each: each.number)
