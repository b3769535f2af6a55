"""What a render may use up: a template from a stranger must not run or grow without bound.

Everything that takes time or memory is taken off one account of steps: iterations and calls, characters that are made
or looked at, items that are copied. What could be large is charged before it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from jinja2.utils import Namespace

from chattmpl.errors import BudgetError, Reason

BYTES_PER_STEP = 512
"""Making or looking at this many bytes costs a step, so that the steps bound the memory as well."""

ITEM = 16
"""Bytes that an item of a list is charged for."""

LONGEST_INTEGER = 1024
"""Bits. Longer ones make arithmetic slow, and no template needs them."""

_SMALL = 256
_ATOMS = frozenset({int, float, bool, type(None), type(Ellipsis)})
_EMPTY: dict[str, Any] = {}
VIEWS: tuple[Any, ...] = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))


@dataclass(frozen=True)
class Budget:
    """The bounds of one render.

    Args:
        steps: what may be done: a step is about thirty operations of a loop's body, a call, or 512 bytes that are made
            or looked at.
        characters: the longest string, and the most items of a list, that may come into being.
    """

    steps: int = 1_000_000
    characters: int = 1 << 25


class Meter:
    """What is left of the budget of the render that is under way."""

    __slots__ = ("budget", "left")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.left = budget.steps

    def tick(self, steps: int = 1) -> None:
        """Take off steps."""
        self.left -= steps
        if self.left < 0:
            raise BudgetError(
                f"the template ran for more than {self.budget.steps:,} steps",
                hint="if the template can be trusted, load it with a larger budget=Budget(steps=…)",
                reason=Reason.STEPS,
            )

    def size(self, size: int) -> None:
        """Refuse a string or list of this size where it is too large."""
        if size > self.budget.characters:
            raise BudgetError(
                f"the template tried to make a string or list of size {size:,}; the budget is "
                f"{self.budget.characters:,}",
                hint="if the template can be trusted, load it with a larger budget=Budget(characters=…)",
                reason=Reason.SIZE,
            )


METER: ContextVar[Meter | None] = ContextVar("chattmpl_meter", default=None)
"""The meter of the render that this thread (or task) is in; None outside of one, where nothing is bounded."""


def charge(size: int) -> None:
    """Account for this many bytes that are made or looked at."""
    meter = METER.get()
    if meter is not None:
        meter.tick(1 + size // BYTES_PER_STEP)


def check_size(size: int) -> None:
    """Account for a string of this many characters, or refuse it, before it is made."""
    if size > _SMALL:
        meter = METER.get()
        if meter is not None:
            meter.size(size)
            meter.tick(size // BYTES_PER_STEP)


def check_items(count: int) -> None:
    """Account for a list of this many items, or refuse it, before it is made."""
    if count > _SMALL // ITEM:
        meter = METER.get()
        if meter is not None:
            meter.size(count)
            meter.tick(count * ITEM // BYTES_PER_STEP)


def check_integer(value: Any) -> Any:
    """The value, unless it is an integer that is too long."""
    if isinstance(value, int) and METER.get() is not None and value.bit_length() > LONGEST_INTEGER:
        raise BudgetError(f"the template made an integer of more than {LONGEST_INTEGER:,} bits", reason=Reason.SIZE)
    return value


def glance(value: Any) -> None:
    """Account for one look at the characters of a string, or at the items of a list but not into them."""
    kind = type(value)
    if kind in _ATOMS:
        return
    if isinstance(value, (str, bytes)):
        check_size(len(value))
    elif isinstance(value, (list, tuple, dict, range, *VIEWS)):
        check_items(len(cast(Sized, value)))


def weigh(value: Any) -> Any:
    """The value, after an account for all that it holds, as often as it holds it: for comparing, hashing, printing."""
    if type(value) in _ATOMS:
        return value
    meter = METER.get()
    if meter is not None:
        _weight(value, meter)
    return value


def _weight(value: Any, meter: Meter) -> int:
    before = meter.left
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, (str, bytes)):
            meter.tick(len(item) // BYTES_PER_STEP)
            continue
        inside = _inside(item)
        if isinstance(inside, Sized):
            meter.tick(1 + len(inside) // 8)
            stack += inside
    return before - meter.left


def _inside(value: Any) -> Iterable[Any]:
    """What a value holds, keys of objects among it, where they could hold something in turn."""
    if isinstance(value, dict):
        keys = [key for key in dict.keys(value) if type(key) is tuple]
        return [*keys, *dict.values(value)]
    if isinstance(value, VIEWS):
        return list(value)
    if isinstance(value, (list, tuple, range)):
        return value
    if isinstance(value, Namespace):
        return list(object.__getattribute__(value, "_Namespace__attrs").values())
    return ()


def weigh_comparison(left: Any, right: Any) -> None:
    """Account for comparing two values, which ends with the smaller one at the latest."""
    if type(left) in _ATOMS or type(right) in _ATOMS:
        return
    if isinstance(left, (str, bytes)) or isinstance(right, (str, bytes)):
        if isinstance(left, (str, bytes)) and isinstance(right, (str, bytes)):
            check_size(min(len(left), len(right)))
        return
    weigh(left)


def weigh_search(wanted: Any, container: Any) -> None:
    """Account for looking for a value in a container."""
    if isinstance(container, (str, bytes)):
        check_size(len(container))
    elif isinstance(container, (dict, *VIEWS[:1])):
        weigh(wanted)
    elif isinstance(container, (list, tuple, *VIEWS[1:])):
        meter = METER.get()
        if meter is not None:
            items = len(cast(Sized, container))
            weight = 0 if isinstance(wanted, (str, bytes)) else _weight(wanted, meter)
            # A string is compared with those of its length only.
            meter.tick(items * (1 + weight) // 16)


def check_search_from_right(text: str, wanted: str) -> None:
    """Python's search from the right compares each place with all of what it looks for."""
    charge(len(text) * len(wanted) // 8)
