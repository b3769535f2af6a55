"""What a render may use up: a template from a stranger must not run or grow without bound."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from chattmpl.errors import BudgetError

_CHARACTERS_PER_STEP = 1024
"""Making a long string costs one step for this many characters, so that memory is bounded by the steps too."""


@dataclass(frozen=True)
class Budget:
    """The bounds of one render.

    Args:
        steps: loop iterations and macro calls, plus one for each 1,024 characters of a long string that is made.
        characters: the longest string, and the most items of a list, that may come into being.
    """

    steps: int = 2_000_000
    characters: int = 1 << 25


class Meter:
    """What is left of the budget of the render that is under way."""

    __slots__ = ("budget", "left")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.left = budget.steps

    def tick(self) -> None:
        """One step: an iteration of a loop, or a call of a macro."""
        self.left -= 1
        if self.left < 0:
            self._out_of_steps()

    def size(self, size: int) -> None:
        """Refuse a string or list of this size where it is too large, else take it off the steps."""
        if size > self.budget.characters:
            raise BudgetError(
                f"the template tried to make a string or list of size {size:,}; the budget is "
                f"{self.budget.characters:,}",
                hint="if the template can be trusted, load it with a larger budget=Budget(characters=…)",
            )
        self.left -= size // _CHARACTERS_PER_STEP
        if self.left < 0:
            self._out_of_steps()

    def _out_of_steps(self) -> None:
        raise BudgetError(
            f"the template ran for more than {self.budget.steps:,} steps",
            hint="if the template can be trusted, load it with a larger budget=Budget(steps=…)",
        )


METER: ContextVar[Meter | None] = ContextVar("chattmpl_meter", default=None)
"""The meter of the render that this thread (or task) is in; None outside of one, where nothing is bounded."""


def charge(size: int) -> None:
    """Account for a long string that was made."""
    meter = METER.get()
    if meter is not None:
        meter.size(size)


def check_size(size: int) -> None:
    """Refuse to make a string or list of this size, before it is made."""
    if size > _CHARACTERS_PER_STEP:
        charge(size)
