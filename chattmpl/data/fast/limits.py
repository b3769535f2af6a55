"""Limits of the time and memory of a compiled template, in any process.

The exact path charges for each operation. Compiled templates are checked more rarely: loops and macros count the values
that they may create, and after a number of them, which is smaller for larger rows, time and output are checked. In
between, values stay small: what a template puts together is measured when it is assigned.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from time import perf_counter, thread_time
from typing import Any

from jinja2.filters import FILTERS
from jinja2.utils import Namespace

from chattmpl.budget import LONGEST_INTEGER, Budget
from chattmpl.errors import BudgetError, Reason

SECONDS = 1.0
"""Time of one row in seconds after which it is refused. The exact path, which takes longer, has a larger bound."""

SMALL = 1 << 14
"""Values of up to this number of characters are not counted."""

_GROWTH = 6
"""Maximum total size of the values that a template puts together, in multiples of the row."""

_STRETCH = 1 << 28
"""Maximum number of characters that are created between two checks."""

_ITEM = 16
"""Characters charged for an item of a container."""

_PLAIN_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length"),
    *("lower", "map", "max", "min", "reject", "rejectattr", "reverse", "safe", "select", "selectattr", "sort", "title"),
    *("trim", "unique", "upper"),
)
"""Filters that take one pass over their value, with a result of at most a few times its size."""

_FORMAT = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w*(?::[<>^]?\d{0,2}(?:\.\d{1,2})?[a-z]?)?\})*")
"""Format strings whose fields are not much longer than their values."""


class RenderRefused(Exception):
    """A row that the exact path has to render, or reject with a proper message."""


class Limits:
    """The limits of one row.

    Attributes:
        methods: methods of strings whose result may be much longer than the string, by name.
    """

    def __init__(self) -> None:
        self.methods: dict[str, Callable[..., Any]] = {"replace": self._replace, "join": self._join}
        self.methods["format"] = self._format
        self.start(0, [])

    def start(self, size: int, pieces: list[str]) -> None:
        """Start a row.

        Args:
            size: number of characters in the row.
            pieces: the list to which its text is appended.
        """
        if size <= SMALL:
            self._growth_left, self._left = _GROWTH * SMALL, _STRETCH // ((_GROWTH + 1) * SMALL)
        else:
            self._growth_left = min(_GROWTH * size, Budget.characters)
            self._left = _STRETCH // (self._growth_left + size) + 1
        self._stretch = self._left
        self._buffers: list[tuple[list[str], int, int]] = [(pieces, len(pieces), 0)]
        self._end = self._spent = 0.0

    # -- called by the generated code

    def watch(self, items: list[Any], work: int) -> list[Any] | Iterator[Any]:
        """Return the items of a loop, in each iteration of which this number of values may be created."""
        self._left -= work * len(items)
        return items if self._left >= 0 else self._watched(items, work)

    def step(self, work: int) -> None:
        """Count values that may be created outside of loops."""
        self._left -= work
        if self._left < 0:
            self._check()

    def weigh(self, value: Any) -> Any:
        """Count the size of a value that was put together from others; return the value."""
        if isinstance(value, int):
            if value.bit_length() > LONGEST_INTEGER:
                raise RenderRefused
        elif isinstance(value, str):
            if len(value) > SMALL:
                self._grow(len(value))
        elif isinstance(value, (list, tuple, dict, Namespace)):
            self._grow(_size(value, self._growth_left))
        return value

    def listed(self, value: Any) -> list[Any]:
        """Return the items of a value that is not a list."""
        if isinstance(value, str):
            self._allow(_ITEM * len(value))
        return list(value)

    def buffer(self) -> list[str]:
        """Return a list for the text of a macro or a block."""
        buffer: list[str] = []
        self._buffers.append((buffer, 0, 0))
        return buffer

    def joined(self, buffer: list[str]) -> str:
        """Return the text of a buffer, the last that is not joined yet; a jump out of a block leaves others."""
        while self._buffers.pop()[0] is not buffer:
            pass
        size = sum(map(len, buffer))
        if size > SMALL:
            self._grow(size)
        return "".join(buffer)

    @staticmethod
    def number(value: Any) -> Any:
        """Return a number that is cheap to compute with; refuse any other value."""
        if not isinstance(value, (int, float)) or abs(value) > 1 << 64:
            raise RenderRefused
        return value

    # -- filters and methods

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of templates; rows that need others are refused."""
        guarded: dict[str, Callable[..., None]] = {
            "replace": lambda *args: self._allow(_replaced(*args)),
            "join": lambda items, d="", attribute=None: self._allow(len(items) * len(d)),
            "indent": lambda text, width=4, *_, **__: self._allow(_replaced(text, "\n", width * " ")),
            "list": lambda value: self._allow(_ITEM * len(value) if isinstance(value, str) else 0),
            **dict.fromkeys(("string", "escape", "e", "forceescape"), lambda value: self._allow(0)),
        }
        return {name: FILTERS[name] for name in _PLAIN_FILTERS} | {
            name: self._guarded(FILTERS[name], check) for name, check in guarded.items()
        }

    def _guarded(self, function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
        place = int(hasattr(function, "jinja_pass_arg"))

        @functools.wraps(function)
        def filtered(*args: Any, **kwargs: Any) -> Any:
            if isinstance(args[place], Iterator):
                args = (*args[:place], list(args[place]), *args[place + 1 :])
            check(*args[place:], **kwargs)
            return self.weigh(function(*args, **kwargs))

        return filtered

    def _replace(self, text: str, *args: Any) -> str:
        self._allow(_replaced(text, *args))
        return self.weigh(text.replace(*args))  # type: ignore[no-any-return]

    def _join(self, separator: str, items: Any) -> str:
        items = list(items)
        self._allow(len(separator) * len(items))
        return self.weigh(separator.join(items))  # type: ignore[no-any-return]

    def _format(self, text: str, *args: Any, **kwargs: Any) -> str:
        values = (*args, *kwargs.values())
        if not _FORMAT.fullmatch(text) or not all(isinstance(value, (str, int, float)) for value in values):
            raise RenderRefused
        self._allow(text.count("{") * sum(len(str(value)) for value in values))
        return self.weigh(text.format(*args, **kwargs))  # type: ignore[no-any-return]

    # -- checks

    def _watched(self, items: list[Any], work: int) -> Iterator[Any]:
        for item in items:
            self.step(work)
            yield item

    def _grow(self, size: int) -> None:
        self._growth_left -= size
        if self._growth_left < 0:
            raise RenderRefused

    def _allow(self, size: int) -> None:
        """Refuse a value that would be larger than all that may still grow."""
        if size > SMALL + self._growth_left:
            raise RenderRefused

    def _check(self) -> None:
        self._buffers = [
            (pieces, len(pieces), size + sum(map(len, pieces[seen:]))) for pieces, seen, size in self._buffers
        ]
        if sum(size for _, _, size in self._buffers) > Budget.characters:
            raise RenderRefused
        now = perf_counter()
        self._end = self._end or now + SECONDS
        if now > self._end:
            self._check_time()
        self._left = self._stretch

    def _check_time(self) -> None:
        """Refuse the row if it was this thread that took the time, and the computer did not do other things."""
        now = thread_time()
        if self._spent and now - self._spent > SECONDS / 2:
            raise BudgetError("the template ran for more than 1 second", reason=Reason.TIME)
        self._spent = self._spent or now
        self._end = perf_counter() + SECONDS


def _replaced(text: str, old: str, new: str, count: int | None = None) -> int:
    """Return the maximum length of a text after a replacement."""
    return len(text) + text.count(old) * len(new)


def _size(value: Any, limit: int) -> int:
    """Return the number of characters and items in a value, counted as far as a limit."""
    size = 0
    ahead = [value]
    while ahead and size <= limit:
        item = ahead.pop()
        size += _ITEM
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, dict):
            ahead += item
            ahead += item.values()
        elif isinstance(item, (list, tuple)):
            ahead += item
        elif isinstance(item, Namespace):
            ahead += object.__getattribute__(item, "_Namespace__attrs").values()
    return size
