"""Charges for the methods and functions that a template calls, deny by default.

A method is available to templates only if it is in `METHODS`, where it has a charge. A charge is paid before the call:
it bounds the time that the call takes and the size of its result, whatever the arguments are.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.utils import Cycler
from markupsafe import Markup

from chattmpl.budget import (
    BYTES_PER_STEP,
    VIEWS,
    charge,
    check_items,
    check_search_from_right,
    check_size,
    glance,
    weigh,
    weigh_search,
    weight,
)
from chattmpl.compiler.globals import TemplateDict

Charge = Callable[[Any, tuple[Any, ...]], None]
"""Charges for a method of a value with these arguments."""

_SLOW = 64
"""Factor for what runs a regular expression or a Python function at each character."""

_PER_CHARACTER = 8
"""A character that becomes a separate string takes as much memory as this number of list items."""


def _free(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge nothing: the call takes constant time."""


def _pass(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge for one pass over the value and the arguments."""
    glance(owner)
    for arg in args:
        weigh(arg)


def _search(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge for comparing the argument with each item."""
    for arg in args:
        weigh_search(arg, owner)


def _search_from_right(owner: Any, args: tuple[Any, ...]) -> None:
    _pass(owner, args)
    if args and isinstance(args[0], (str, bytes)):
        check_search_from_right(owner, args[0])


def _table(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge for a table with an entry for each character of the arguments."""
    for arg in args:
        weigh(arg)
        if isinstance(arg, (str, bytes, dict)):
            check_items(_PER_CHARACTER * len(arg))


def _codec(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge for a conversion between text and bytes; some codecs scan the whole text for each character."""
    _pass(owner, args)
    for arg in args:
        if isinstance(arg, str) and not arg.lower().startswith(("utf", "ascii", "latin")):
            charge(len(owner) ** 2 // 8)


def _product(owner: Any, args: tuple[Any, ...]) -> None:
    """Charge for a result whose size is at most the product of the sizes of the value and of the arguments."""
    check_size((1 + _size(owner)) * (1 + sum(map(_size, args))))


def _slow_product(owner: Any, args: tuple[Any, ...]) -> None:
    _product(owner, args)
    charge(_SLOW * _size(owner))


def _size(value: Any) -> int:
    """Return a bound of the characters that a value prints, or a number stands for; charge for reading it."""
    if isinstance(value, (str, bytes)):
        return len(value) * (1 if isinstance(value, bytes) or value.isascii() else 4)
    if isinstance(value, int):
        return abs(int(value))
    return weight(value) * BYTES_PER_STEP


def _each(charge: Charge, names: str) -> dict[str, Charge]:
    return dict.fromkeys(names.split(), charge)


_TEXT_TESTS = "isalnum isalpha isascii isdigit islower isspace istitle isupper"
_STR = {
    **_each(_pass, f"count find index startswith endswith isdecimal isidentifier isnumeric isprintable {_TEXT_TESTS}"),
    **_each(_search_from_right, "rfind rindex"),
    **_each(_table, "maketrans"),
    **_each(_codec, "encode"),
    # The methods of `Traced`, which charge for themselves as soon as they know the size of the result.
    **_each(_pass, "capitalize casefold center expandtabs format format_map join ljust lower lstrip partition"),
    **_each(_pass, "removeprefix removesuffix replace rjust rpartition rsplit rstrip split splitlines strip swapcase"),
    **_each(_pass, "title translate upper zfill"),
}
_MARKUP = {
    **dict.fromkeys(_STR, _product),
    **_each(_search_from_right, "rfind rindex"),
    **_each(_table, "maketrans"),
    **_each(_codec, "encode"),
    **_each(_slow_product, "striptags unescape escape split rsplit splitlines translate"),
}
_BYTES = {
    **_each(_product, "capitalize center count endswith expandtabs find hex index join ljust lower lstrip partition"),
    **_each(_product, f"removeprefix removesuffix replace rjust rstrip startswith strip swapcase {_TEXT_TESTS}"),
    **_each(_product, "title translate upper zfill fromhex"),
    **_each(_slow_product, "split rsplit splitlines"),
    **_each(_search_from_right, "rfind rindex rpartition"),
    **_each(_table, "maketrans"),
    **_each(_codec, "decode"),
}
_NUMBER = _each(_product, "as_integer_ratio bit_count bit_length conjugate from_bytes fromhex hex is_integer to_bytes")
_LIST = {**_each(_pass, "copy"), **_each(_search, "count index")}
_DICT = {**_each(_pass, "copy get items keys values fromkeys")}

METHODS: Mapping[Any, Mapping[str, Charge]] = {
    Markup: _MARKUP,
    str: _STR,
    bytes: _BYTES,
    int: {name: how for name, how in _NUMBER.items() if name not in ("fromhex", "hex")},
    float: {name: _NUMBER[name] for name in ("as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer")},
    list: _LIST,
    tuple: {name: _LIST[name] for name in ("count", "index")},
    range: {name: _LIST[name] for name in ("count", "index")},
    dict: _DICT,
    **dict.fromkeys(VIEWS, _each(_pass, "isdisjoint")),
    LoopContext: _each(_pass, "changed cycle"),
    TemplateDict: _each(_free, "fromkeys"),
    Cycler: _each(_free, "next reset"),
}
"""The charge of each method that a template can call, by the type of its value and its name."""


@cache
def _methods_of(kind: type) -> Mapping[str, Charge]:
    return next((methods for base, methods in METHODS.items() if issubclass(kind, base)), {})


def charge_call(function: Any, owner: Any, args: Iterable[Any]) -> None:
    """Charge for a call, before it is made.

    Args:
        function: the object that is called.
        owner: the value, or the type, whose method it is; None for macros and global functions, which charge for what
            they do.
        args: all arguments.

    Raises:
        BudgetError: if the call would exceed the budget.
        SecurityError: if it is a method that templates cannot call.
    """
    if owner is None:
        return
    kind = owner if isinstance(owner, type) else type(owner)
    name = getattr(function, "__name__", "")
    how = _methods_of(kind).get(name)
    if how is None:
        raise SecurityError(f"the method {name} of the type {kind.__name__} is not available to templates")
    charge(0)
    how(owner, tuple(args))
