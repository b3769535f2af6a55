"""Jinja's filters, with origins followed.

Most of Jinja's filters are made of string methods and keep origins by themselves. Those that are not are written anew
here, or are watched: a string that they make from fields of the conversation gets an origin that says *derived*.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import Environment, pass_environment, pass_eval_context
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.filters import make_attrgetter
from jinja2.nodes import EvalContext
from markupsafe import Markup

from chattmpl.budget import check_size
from chattmpl.provenance.serialize import to_json, to_text
from chattmpl.provenance.text import Traced, concat, derive, make, traced


class TracedMarkup(Markup):
    """What ``|safe`` makes of a string. Anything computed from it has lost its way and counts as derived."""

    _origin: Any


def _safe(value: Any) -> Markup:
    text = to_text(value)
    marked = TracedMarkup(text)
    marked._origin = text._origin if type(text) is Traced else None
    return marked


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    return traced(to_text(d)).join([to_text(item) for item in value])


def _replace(s: Any, old: Any, new: Any, count: int | None = None) -> str:
    return traced(to_text(s)).replace(to_text(old), to_text(new), -1 if count is None else count)


def _indent(s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int):
        check_size(width)
    step = width if isinstance(width, str) else " " * width
    # Jinja adds a newline first, so that a final one survives `splitlines`.
    lines = traced(concat((to_text(s), "\n"))).splitlines()
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
    return make(titled, text._origin) if type(text) is Traced and len(titled) == len(text) else derive(titled, (text,))


@pass_environment
def _sum(environment: Environment, iterable: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    items = list(iterable if attribute is None else map(make_attrgetter(environment, attribute), iterable))
    if isinstance(start, (list, tuple)):
        # Python copies the sum so far for each item.
        check_size(sum(len(item) for item in items if isinstance(item, (list, tuple))) * max(1, len(items)))
    return sum(items, start)


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose strings must not pass for the template's own text where they were made from fields."""

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        inputs = (*args, *kwargs.values())
        for value in inputs:
            if isinstance(value, int) and value > 1024:
                check_size(value)
        result = function(*args, **kwargs)
        if type(result) is str:
            return derive(result, inputs)
        return result

    return watched


def _promoted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter made of methods of its first argument, which is given as a string that keeps track."""

    @functools.wraps(function)
    def promoted(value: Any, *args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, int) and argument > 1024:
                check_size(argument)
        return function(to_text(value) if isinstance(value, (str, int, float)) else value, *args, **kwargs)

    return promoted


_PROMOTED = ("upper", "lower", "trim", "capitalize", "center")
_WATCHED = (
    "format", "wordwrap", "striptags", "urlize", "urlencode", "xmlattr", "pprint", "filesizeformat",
    "escape", "e", "forceescape", "truncate", "random",
)  # fmt: skip

FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _promoted(JINJA_FILTERS[name]) for name in _PROMOTED},
    **{name: _watched(JINJA_FILTERS[name]) for name in _WATCHED},
    "tojson": to_json,
    "join": _join,
    "replace": _replace,
    "indent": _indent,
    "title": _title,
    "safe": _safe,
    "string": to_text,
    "sum": _sum,
}
"""The filters that differ from Jinja's."""
