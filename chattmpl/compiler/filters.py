"""Jinja's filters and tests, with origins and a budget.

Most of Jinja's filters consist of string methods, which keep origins. Others are reimplemented here or wrapped, so that
the strings they compute from fields of the conversation get a derived origin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
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
    charge,
    check_integer,
    check_items,
    check_size,
    glance,
    weigh,
    weigh_comparison,
    weigh_search,
)
from chattmpl.provenance.serialization import escape_html, mark_safe, to_json, to_text
from chattmpl.provenance.text import Traced, as_traced, concat, derive, percent, with_origin


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    return as_traced(to_text(d)).join([to_text(item) for item in value])


def _replace(s: Any, old: Any, new: Any, count: int | None = None) -> str:
    return as_traced(to_text(s)).replace(to_text(old), to_text(new), -1 if count is None else count)


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
    items = list(iterable if attribute is None else map(make_attrgetter(environment, attribute), iterable))
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


def _ticking(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        charge(0)
        yield item


def _charged(function: Callable[..., Any], account: Callable[..., Any] = glance) -> Callable[..., Any]:
    """Wrap a filter or test so that it charges for its arguments, and for each item if it is lazy."""

    @functools.wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        charge(0)
        for value in (*args, *kwargs.values()):
            account(value)
        result = function(*args, **kwargs)
        return _ticking(result) if type(result) is GeneratorType else result

    return charged


def _weighed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter that compares, hashes or prints the whole contents of its value."""

    @functools.wraps(function)
    def weighed(*args: Any, **kwargs: Any) -> Any:
        place = _passed(function)
        if len(args) > place and type(args[place]) is GeneratorType:
            args = (*args[:place], list(args[place]), *args[place + 1 :])
        for value in (*args, *kwargs.values()):
            weigh(value)
        return function(*args, **kwargs)

    return weighed


def _charge_width(value: Any) -> None:
    """Charge for an argument of a filter whose numbers are widths and counts."""
    if isinstance(value, int):
        check_items(abs(value))
    glance(value)


def _charge_items(value: Any) -> None:
    """Charge for an argument of a filter that makes each character of a string a separate string."""
    if isinstance(value, str):
        check_items(len(value))
    glance(value)


def _charge_square(value: Any) -> None:
    """Charge for an argument of a filter that takes quadratic time."""
    if isinstance(value, str):
        charge(64 * len(value) + len(value) ** 2 // 1024)


def _charge_words(value: Any) -> None:
    """Charge for an argument of a filter that calls a Python function per word or character."""
    if isinstance(value, str):
        charge(32 * len(value))


def _charge_comparison(left: Any, right: Any = None, *rest: Any) -> None:
    weigh_comparison(left, right)


_TRACING = ("upper", "lower", "trim", "capitalize", "center", "truncate")
_DERIVING = ("wordwrap", "striptags", "urlize", "urlencode", "xmlattr", "pprint", "filesizeformat")
_WEIGHED = ("sort", "unique", "groupby", "dictsort", "min", "max", "pprint", "format")
_WIDTHS = ("batch", "slice", "center", "truncate")
_ITEMS = ("list", "sort", "unique", "batch", "slice", "groupby", "dictsort", "min", "max", "sum", "join")
_WORDS = ("title", "wordcount", "urlencode", "xmlattr", "capitalize")
_SQUARE = ("wordwrap", "striptags", "urlize")
_COMPARISONS = ("eq", "==", "equalto", "ne", "!=")
_ORDERINGS = ("lt", "<", "lessthan", "le", "<=", "gt", ">", "greaterthan", "ge", ">=")


def _filters() -> dict[str, Callable[..., Any]]:
    filters: dict[str, Callable[..., Any]] = {
        **JINJA_FILTERS,
        **{name: _tracing(JINJA_FILTERS[name]) for name in _TRACING},
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
    for names, wrap in (
        (_DERIVING, _deriving),
        (_WEIGHED, _weighed),
        (_WIDTHS, functools.partial(_charged, account=_charge_width)),
        (_ITEMS, functools.partial(_charged, account=_charge_items)),
        (_WORDS, functools.partial(_charged, account=_charge_words)),
        (_SQUARE, functools.partial(_charged, account=_charge_square)),
        (filters, _charged),
    ):
        filters |= {name: wrap(filters[name]) for name in names}
    return filters


def _tests() -> dict[str, Callable[..., Any]]:
    def compared(function: Callable[..., Any], account: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def test(*args: Any) -> Any:
            account(*args)
            return function(*args)

        return test

    tests: dict[str, Any] = JINJA_TESTS
    return {
        **{name: compared(tests[name], _charge_comparison) for name in (*_COMPARISONS, *_ORDERINGS)},
        **{name: _charged(tests[name]) for name in ("lower", "upper")},
        "in": compared(tests["in"], weigh_search),
    }


FILTERS = _filters()
"""The filters available to templates."""

TESTS = _tests()
"""The tests that replace Jinja's."""
