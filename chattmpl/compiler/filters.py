"""Jinja's filters and tests, with origins and a budget.

Most of Jinja's filters consist of string methods, which keep origins. Others are reimplemented here or wrapped, so that
the strings they compute from fields of the conversation get a derived origin.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sized
from types import GeneratorType
from typing import Any, cast

from jinja2 import Environment, pass_environment, pass_eval_context
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.filters import make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.tests import TESTS as JINJA_TESTS
from markupsafe import Markup

from chattmpl.budget import (
    BYTES_PER_STEP,
    charge,
    check_integer,
    check_items,
    check_size,
    glance,
    weigh,
    weigh_comparison,
    weigh_search,
    weight,
)
from chattmpl.provenance.serialization import escape_html, mark_safe, to_json, to_text
from chattmpl.provenance.text import Traced, as_traced, concat, derive, percent, with_origin


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), _ticking(value))
    return as_traced(to_text(d)).join([to_text(item) for item in value])


def _replace(s: Any, old: Any, new: Any, count: int | None = None) -> str:
    return as_traced(to_text(s)).replace(to_text(old), to_text(new), -1 if count is None else count)


@pass_environment
def _wordwrap(
    environment: Environment,
    s: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: Any = None,
    break_on_hyphens: bool = True,
) -> str:
    if isinstance(wrapstring, str):
        check_size(len(to_text(s)) * len(wrapstring))
    wrapped: str = JINJA_FILTERS["wordwrap"](environment, s, width, break_long_words, wrapstring, break_on_hyphens)
    return wrapped


def _indent(s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int):
        check_size(width)
    step = width if isinstance(width, str) else " " * width
    # As in Jinja, an added newline keeps a final one from being lost in `splitlines`.
    lines = as_traced(concat((to_text(s), "\n"))).splitlines()
    check_size(len(lines) * len(step) + len(s))
    pieces: list[str] = []
    for index, line in enumerate(lines):
        if index:
            pieces.append("\n")
        if first if not index else line or blank:
            pieces.append(step)
        pieces.append(line)
    return concat(pieces)


def _title(s: Any) -> str:
    text = to_text(s)
    titled = JINJA_FILTERS["title"](str.__getitem__(text, slice(None)))
    return (
        with_origin(titled, text._origin)
        if type(text) is Traced and len(titled) == len(text)
        else derive(titled, (text,))
    )


@pass_environment
def _sum(environment: Environment, iterable: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    items = list(iterable if attribute is None else map(make_attrgetter(environment, attribute), _ticking(iterable)))
    if isinstance(start, (list, tuple)):
        # Python copies the partial sum for each item.
        check_items(sum(len(item) for item in items if isinstance(item, (list, tuple))) * max(1, len(items)))
    return sum(items, start)


def _format(value: Any, *args: Any, **kwargs: Any) -> Any:
    if args and kwargs:
        raise FilterArgumentError("can't handle positional and keyword arguments at the same time")
    return percent(to_text(value), kwargs or args)


def _int(value: Any, default: int = 0, base: int = 10) -> int:
    if isinstance(value, str):
        check_integer(1 << min(len(value), 5000))
    return cast(int, JINJA_FILTERS["int"](value, default, base))


def _passed(function: Callable[..., Any]) -> int:
    """Return the number of arguments that Jinja passes to a filter before the value."""
    return int(hasattr(function, "jinja_pass_arg"))


def _deriving(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that strings it computes from fields do not count as the template's own text."""

    @functools.wraps(function)
    def deriving(*args: Any, **kwargs: Any) -> Any:
        inputs = (*args[_passed(function) :], *kwargs.values())
        result = function(*args, **kwargs)
        if isinstance(result, str) and type(result) is not Traced:
            text = derive(str.__getitem__(result, slice(None)), inputs)
            return mark_safe(text) if isinstance(result, Markup) else text
        return result

    return deriving


def _tracing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter that calls string methods of its value, so that it gets a string with origins."""

    @functools.wraps(function)
    def tracing(*args: Any, **kwargs: Any) -> Any:
        place = _passed(function)
        if len(args) > place and not hasattr(args[place], "__html__"):
            args = (*args[:place], as_traced(to_text(args[place])), *args[place + 1 :])
        return function(*args, **kwargs)

    return tracing


def _ticking(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        charge(0)
        yield item


def _free(*values: Any) -> None:
    """Charge nothing: the filter or test takes constant time, or charges for what it does."""


def _pass(value: Any) -> None:
    """Charge for one pass over the characters of a string or the items of a list, or for printing another value."""
    if isinstance(value, (str, bytes)):
        glance(value)
    else:
        weigh(value)


def _width(value: Any) -> None:
    """Charge for an argument of a filter whose numbers are widths and counts."""
    if isinstance(value, int):
        check_items(abs(value))
    _pass(value)


def _items(value: Any) -> None:
    """Charge for an argument of a filter that makes each character of a string a separate string."""
    if isinstance(value, str):
        check_items(len(value))
    glance(value)


def _sorted(value: Any) -> None:
    """Charge for an argument of a filter that compares or hashes all items, by an attribute of each perhaps."""
    _items(value)
    weigh(value)
    if isinstance(value, Sized):
        charge(BYTES_PER_STEP * len(value) // 2)


def _words(value: Any) -> None:
    """Charge for an argument of a filter that calls a Python function per word or character."""
    _pass(value)
    if isinstance(value, str):
        charge(32 * len(value))


def _square(value: Any) -> None:
    """Charge for an argument of a filter that takes quadratic time."""
    _width(value)
    if isinstance(value, str):
        charge(64 * len(value) + len(value) ** 2 // 1024)


def _shown(value: Any) -> None:
    """Charge for an argument of a filter that lays out a value with Python functions."""
    charge(_LAYOUT * BYTES_PER_STEP * weight(value))


def _precision(value: Any) -> None:
    """Charge for an argument of a filter that computes with ten to the power of an integer."""
    if isinstance(value, int):
        check_integer(1 << min(4 * abs(value), 5000))


_LAYOUT = 64
"""Steps of `pprint` for each step of reading a value."""

_CHARGES: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(("abs", "attr", "count", "d", "default", "first", "last", "length", "map", "random"), _free),
    **dict.fromkeys(("reject", "rejectattr", "select", "selectattr"), _free),
    **dict.fromkeys(("escape", "e", "forceescape", "safe", "string", "tojson"), _free),
    **dict.fromkeys(("filesizeformat", "float", "indent", "int", "lower", "replace", "trim", "upper"), _pass),
    **dict.fromkeys(("join", "items", "list", "reverse", "sum"), _items),
    **dict.fromkeys(("batch", "center", "slice", "truncate"), _width),
    **dict.fromkeys(("dictsort", "format", "groupby", "max", "min", "sort", "unique"), _sorted),
    **dict.fromkeys(("capitalize", "title", "urlencode", "wordcount", "xmlattr"), _words),
    **dict.fromkeys(("striptags", "urlize", "wordwrap"), _square),
    "pprint": _shown,
    "round": _precision,
}
"""The charge of each filter for each of its arguments. A filter that is not in this table is not available."""

LAZY = frozenset({"map", "reject", "rejectattr", "select", "selectattr"})
"""Filters that return a generator, which may read many items before it returns one."""

_TRACING = ("upper", "lower", "trim", "capitalize", "center", "truncate")
_DERIVING = ("striptags", "urlize", "urlencode", "xmlattr", "pprint", "filesizeformat")


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that it charges for its arguments, and for each item of a generator."""
    account = _CHARGES[name]
    place = _passed(function)

    @functools.wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        charge(0)
        if len(args) > place and (name in LAZY or type(args[place]) is GeneratorType):
            value = args[place]
            items = _ticking(value) if name in LAZY and value else value
            if account in (_sorted, _shown, _words):
                items = list(items)
            args = (*args[:place], items, *args[place + 1 :])
        for value in (*args[place:], *kwargs.values()):
            account(value)
        return function(*args, **kwargs)

    return charged


def _filters() -> dict[str, Callable[..., Any]]:
    filters: dict[str, Callable[..., Any]] = {
        **JINJA_FILTERS,
        **{name: _tracing(JINJA_FILTERS[name]) for name in _TRACING},
        **{name: _deriving(JINJA_FILTERS[name]) for name in _DERIVING},
        "wordwrap": _deriving(_wordwrap),
        "tojson": to_json,
        "join": _join,
        "replace": _replace,
        "indent": _indent,
        "title": _title,
        "safe": mark_safe,
        "escape": escape_html,
        "e": escape_html,
        "forceescape": lambda value: escape_html(to_text(value)),
        "string": to_text,
        "sum": _sum,
        "format": _format,
        "int": _int,
    }
    return {name: _charged(name, filters[name]) for name in _CHARGES}


_TEST_CHARGES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("boolean", "callable", "defined", "escaped", "false", "float", "integer"), _free),
    **dict.fromkeys(("iterable", "mapping", "none", "number", "sameas", "sequence", "string"), _free),
    **dict.fromkeys(("true", "undefined", "divisibleby", "even", "odd"), _free),
    **dict.fromkeys(("eq", "==", "equalto", "ne", "!=", "lt", "<", "lessthan", "le", "<="), weigh_comparison),
    **dict.fromkeys(("gt", ">", "greaterthan", "ge", ">="), weigh_comparison),
    **dict.fromkeys(("filter", "lower", "test", "upper"), _pass),
    "in": weigh_search,
}
"""The charge of each test for its arguments. A test that is not in this table is not available."""


def _tests() -> dict[str, Callable[..., Any]]:
    def charged(name: str) -> Callable[..., Any]:
        account, function = _TEST_CHARGES[name], cast("Callable[..., Any]", JINJA_TESTS[name])
        place = _passed(function)
        if account is _free:
            return function

        @functools.wraps(function)
        def test(*args: Any) -> Any:
            account(*args[place:])
            return function(*args)

        return test

    return {name: charged(name) for name in _TEST_CHARGES}


FILTERS = _filters()
"""The filters available to templates."""

TESTS = _tests()
"""The tests available to templates."""
