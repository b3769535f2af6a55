"""Facts about templates that are kept between runs, since the renders that show them take time."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from chattmpl import cache
from chattmpl.budget import allow
from chattmpl.template.template import Template

_Fact = TypeVar("_Fact")

_CODE = ("budget", "compiler", "conversation", "encode", "probing", "provenance", "syntax", "template")
"""The modules that facts about templates depend on."""

_STEPS = 10_000_000
"""Enough for all renders, each of which is bounded as well."""

_KEPT = 1024
_RECALLED: dict[tuple[Any, ...], Any] = {}
"""Facts that this process found or read."""


def recall_fact(find: Callable[[], _Fact], template: Template, *inputs: str | None) -> _Fact:
    """Return a fact about a template that renders show, now or in an earlier process, since they take time.

    Args:
        find: finds it, by renders.
        template: the template.
        *inputs: its other inputs; it is not stored if one of them is None.
    """
    variants = tuple((each.source, each.retention, *sorted(each.tokens.items())) for each in template.variants)
    key = (variants, *inputs)
    if key in _RECALLED:
        return cast(_Fact, _RECALLED[key])
    code = cache.hash_of_code(*_CODE) if cache.is_enabled() else None
    with allow(_STEPS) as allowance:
        found = cache.recall(find, "fact", code, repr(variants), *inputs, lasts=lambda: allowance.lasting)
    if None not in inputs and allowance.lasting:
        if len(_RECALLED) >= _KEPT:
            _RECALLED.clear()
        _RECALLED[key] = found
    return found
