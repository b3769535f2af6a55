"""On-disk cache for expensive results, keyed by content hash."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from chattmpl import cache
from chattmpl.rewrite.refusal import CannotRewrite
from chattmpl.template.template import Template

Result = TypeVar("Result")

_INDEPENDENT = frozenset({"cli", "compare", "data", "playground", "report", "testing", "training"})
"""Packages that no result depends on."""


class ResultCache(Generic[Result]):
    """Cached results of one function of a template.

    Entries are pickled, and trusted as Python trusts its own ``.pyc`` files; see `chattmpl.cache`.

    Args:
        name: distinguishes the results of different functions.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, template: Template, request: tuple[str, ...], compute: Callable[[], Result]) -> Result:
        """Return the cached result, or compute and store it. A refusal is stored and raised in the same way.

        Args:
            template: the template that the result is computed from.
            request: all other values that it depends on.
            compute: computes the result.

        Raises:
            CannotRewrite: if ``compute`` raises it, now or when the entry was stored.
        """
        key = (self._name, _program_version(), *_identity(template), *request)
        stored = cache.load(*key)
        if stored is not None:
            result: Result | CannotRewrite = pickle.loads(stored)
        else:
            try:
                result = compute()
            except CannotRewrite as error:
                result = error
            cache.store(pickle.dumps(result), *key)
        if isinstance(result, CannotRewrite):
            raise result
        return result


def _identity(template: Template) -> tuple[str, ...]:
    return (
        template.source,
        template.program.source.name,
        repr(sorted(template.tokens.items())),
        template.name,
        str(template.retention),
    )


@lru_cache
def _program_version() -> str:
    """Return the time of the last change of the modules that results depend on, in nanoseconds."""
    root = Path(__file__).parents[1]
    files = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in _INDEPENDENT]
    return str(max(path.stat().st_mtime_ns for path in files))


__all__ = ["ResultCache"]
