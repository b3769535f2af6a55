"""Facts about templates that are kept between runs, since the renders that show them take time."""

from collections.abc import Callable
from typing import TypeVar

from chattmpl import cache
from chattmpl.budget import allow
from chattmpl.template.template import Template

_Fact = TypeVar("_Fact")

_CODE = ("budget", "compiler", "conversation", "encode", "probing", "provenance", "syntax", "template")
"""The modules that facts about templates depend on."""

_STEPS = 10_000_000
"""Enough for all renders, each of which is bounded as well."""


def recall_fact(find: Callable[[], _Fact], template: Template, *inputs: str | None) -> _Fact:
    """Return a fact about a template that renders show, now or in an earlier process, since they take time.

    Args:
        find: finds it, by renders.
        template: the template.
        *inputs: its other inputs; it is not stored if one of them is None.
    """
    key: list[str] = []
    if cache.is_enabled() and None not in inputs:
        variants = [(each.source, each.retention, each.tokens) for each in template.variants]
        key = ["fact", cache.hash_of_code(*_CODE), repr(variants), *filter(None, inputs)]
    if key and (stored := cache.load(*key)) is not None:
        return stored  # type: ignore[no-any-return]
    with allow(_STEPS) as allowance:
        found = find()
    if key and allowance.lasting:
        cache.store(found, *key)
    return found
