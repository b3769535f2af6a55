"""Comparisons: their claims and arms; each is a module of `playbook_parts.experiments`."""

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
    """An expectation about two arms that the figures can confirm or refute.

    Attributes:
        says: the claim as a phrase.
        measure: name of a figure of a run.
        arm, than: the arms to compare.
        expected: the first has more, less, or the same.
        within: largest difference, in shares or nats, that counts as the same. An expected effect that is certainly
            smaller was not seen.
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
        number: position on the page.
        name: heading.
        question: what differs between the arms, and what is the same.
        expectation: the expected outcome, written before the run.
        arms: configurations by name, for a size.
        measures: columns of the table.
        claims: the expectation as testable claims.
        drawn: measures of the plot.
        notes: functions by name that return a text without training.
        short, remark: the outcome, in a line and at length, written after the run.
        swept: function that returns the setting and the swept value of an arm, for a plot over the values.
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
    """Return all comparisons, ordered by number."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
    modules = [importlib.import_module(f"{experiments.__name__}.{name}") for name in names]
    return sorted((module.EXPERIMENT for module in modules), key=lambda each: each.number)
