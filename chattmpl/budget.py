"""The resources of a render: a budget of steps and sizes, and a pause of the garbage collector.

A template from an unknown source must not run or grow without bound. All work is charged as steps to one meter:
iterations, calls, characters created or read, items copied. Large values are charged before they are created.
"""

import gc
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from jinja2.utils import Namespace

from chattmpl.errors import TRANSIENT, BudgetError, ChatTmplError, Reason, RunawayError
from chattmpl.source import Place

BYTES_PER_STEP = 512
"""Bytes created or read per step, so that steps also bound memory."""

ITEM = 16
"""Bytes charged for an item of a list."""

LONGEST_INTEGER = 1024
"""Maximum bits of an integer. Longer ones make arithmetic slow, and no template needs them."""

_SMALL = 256
_ATOMS = frozenset({int, float, bool, type(None), type(Ellipsis)})
_EMPTY: dict[str, Any] = {}
VIEWS: tuple[Any, ...] = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))


@dataclass(frozen=True)
class Budget:
    """The limits of one render, and of compiling a template.

    Args:
        steps: maximum number of steps; a step is about thirty operations in the body of a loop, a call, or 512 bytes
            created or read. Compiling takes 16 steps for each token of the template, and some for what is nested.
        characters: maximum length of a string, and maximum number of items of a list.
    """

    steps: int = 1_000_000
    characters: int = 1 << 25

    def of_cases(self, number: int) -> int:
        """Return the steps that the renders of a number of cases may take together.

        Three renders may exceed the budget, and each case may take a twentieth of it: ten times as much as the shipped
        families take.
        """
        return self.steps * (60 + number) // 20


class Meter:
    """The remaining budget of the current render."""

    __slots__ = ("budget", "left")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.left = budget.steps

    def tick(self, steps: int = 1) -> None:
        """Charge steps."""
        self.left -= steps
        if self.left < 0:
            raise BudgetError(
                f"the template ran for more than {self.budget.steps:,} steps",
                hint="if you trust the template, load it with a larger budget=Budget(steps=…)",
                reason=Reason.STEPS,
            )

    def size(self, size: int) -> None:
        """Raise if a string or list of this size is too large."""
        if size > self.budget.characters:
            raise BudgetError(
                f"the template tried to create a string or list of size {size:,}; the budget is "
                f"{self.budget.characters:,}",
                hint="if you trust the template, load it with a larger budget=Budget(characters=…)",
                reason=Reason.SIZE,
            )


METER: ContextVar[Meter | None] = ContextVar("chattmpl_meter", default=None)
"""The meter of the current render in this thread or task; None outside a render, where nothing is bounded."""


class Allowance:
    """The steps that many renders can take together, where one template is rendered again and again.

    Args:
        steps: maximum number of steps.

    Attributes:
        lasting: whether another run would have the same results; false after a render that lacked time or memory.
    """

    def __init__(self, steps: int) -> None:
        self.steps = self.left = steps
        self.lasting = True
        self._place: Place | None = None

    def take(self, steps: int, place: Place) -> None:
        """Take steps of a render of the template at a place; an error names the one that took the last of what was
        left.
        """
        self.left -= steps
        if self.left < 0:
            self._place = self._place or place

    def fail(self, error: ChatTmplError) -> None:
        """Take note of the error of a render."""
        self.lasting = self.lasting and error.reason not in TRANSIENT

    def check(self) -> None:
        """Raise if nothing is left."""
        if self.left < 0:
            raise BudgetError(
                f"the template took more than {self.steps:,} steps in all renders together",
                place=self._place,
                hint="chat templates take thousands of steps; read this one before you use it",
                reason=Reason.STEPS,
            )


class Runaways:
    """The renders of rows that exceeded the budget, one after another.

    A template that exceeds it on five rows exceeds it on all, which would take hours for a dataset. Rows of very
    many messages may exceed the budget of any template and do not count.
    """

    LIMIT = 5

    STEPS_PER_MESSAGE = 1_000
    """Ten times what the templates of models take."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def watch(self, budget: Budget, messages: int) -> Iterator[None]:
        """Watch the renders of one row.

        Args:
            budget: their budget.
            messages: number of messages in all of them.

        Raises:
            RunawayError: the render exceeds the budget, as the others before it.
        """
        try:
            yield
        except BudgetError as error:
            self._count += messages * self.STEPS_PER_MESSAGE < budget.steps
            if self._count < self.LIMIT:
                raise
            message = f"{error.message}, on {self.LIMIT} rows one after another"
            raise RunawayError(message, place=error.place, hint=error.hint, reason=error.reason) from error
        self._count = 0


ALLOWANCE: ContextVar[Allowance | None] = ContextVar("chattmpl_allowance", default=None)
"""The allowance of the renders in this thread or task; None if only each render is bounded."""


@contextmanager
def allow(steps: int) -> Iterator[Allowance]:
    """Bound the steps of all renders inside together; within another allowance, that one holds."""
    outer = ALLOWANCE.get()
    allowance = outer or Allowance(steps)
    token = ALLOWANCE.set(allowance)
    try:
        yield allowance
    finally:
        ALLOWANCE.reset(token)


def charge(size: int) -> None:
    """Charge for a number of bytes that are created or read."""
    meter = METER.get()
    if meter is not None:
        meter.tick(1 + size // BYTES_PER_STEP)


def check_size(size: int) -> None:
    """Charge for a string of a number of characters, or reject it, before it is created."""
    if size > _SMALL:
        meter = METER.get()
        if meter is not None:
            meter.size(size)
            meter.tick(size // BYTES_PER_STEP)


def check_items(count: int) -> None:
    """Charge for a list of a number of items, or reject it, before it is created."""
    if count > _SMALL // ITEM:
        meter = METER.get()
        if meter is not None:
            meter.size(count)
            meter.tick(count * ITEM // BYTES_PER_STEP)


def check_integer(value: Any) -> Any:
    """Return the value; raise if it is an integer that is too long."""
    if isinstance(value, int) and METER.get() is not None and value.bit_length() > LONGEST_INTEGER:
        raise BudgetError(f"the template computed an integer of more than {LONGEST_INTEGER:,} bits", reason=Reason.SIZE)
    return value


def glance(value: Any) -> None:
    """Charge for one pass over the characters of a string or the items of a list, without nested values."""
    kind = type(value)
    if kind in _ATOMS:
        return
    if isinstance(value, (str, bytes)):
        check_size(len(value))
    elif isinstance(value, (list, tuple, dict, range, *VIEWS)):
        check_items(len(cast(Sized, value)))


def weigh(value: Any) -> Any:
    """Charge for the whole contents of a value, as comparing, hashing or printing visits them; return the value."""
    if type(value) in _ATOMS:
        return value
    meter = METER.get()
    if meter is not None:
        _weight(value, meter)
    return value


def weight(value: Any) -> int:
    """Charge for the whole contents of a value, and return the number of steps; 0 outside a render."""
    meter = METER.get()
    return 0 if meter is None else _weight(value, meter)


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
    """Return the values inside a value, including keys that can contain others."""
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
    """Charge for comparing two values, which takes at most one pass over the smaller one."""
    if type(left) in _ATOMS or type(right) in _ATOMS:
        return
    if isinstance(left, (str, bytes)) or isinstance(right, (str, bytes)):
        if isinstance(left, (str, bytes)) and isinstance(right, (str, bytes)):
            check_size(min(len(left), len(right)))
        return
    weigh(left)


def weigh_search(wanted: Any, container: Any) -> None:
    """Charge for searching a value in a container."""
    if isinstance(container, (str, bytes)):
        check_size(len(container))
    elif isinstance(container, (dict, *VIEWS[:1])):
        weigh(wanted)
    elif isinstance(container, (list, tuple, *VIEWS[1:])):
        meter = METER.get()
        if meter is not None:
            items = len(cast(Sized, container))
            if not isinstance(wanted, (str, bytes)):
                meter.tick(items * (1 + _weight(wanted, meter)) // 16)
                return
            meter.tick(items // 16)
            if len(wanted) > _SMALL:  # a string is compared only with strings of its length
                alike = sum(
                    isinstance(item, (str, bytes)) and len(item) == len(wanted)
                    for item in cast(Iterable[Any], container)
                )
                meter.tick(alike * len(wanted) // BYTES_PER_STEP)
    elif isinstance(container, range) and type(wanted) not in (int, bool):
        # Python finds only an integer without looking at each number.
        charge(BYTES_PER_STEP * len(container) // 16)


def check_search_from_right(text: str | bytes, wanted: str | bytes) -> None:
    """Charge for a search from the right, in which Python compares the wanted text at each position."""
    charge(len(text) * len(wanted) // 8)


@contextmanager
def pause_gc() -> Iterator[None]:
    """Disable the garbage collector while many small objects without cycles are created.

    It would find nothing, in time that grows faster than the number of objects.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
