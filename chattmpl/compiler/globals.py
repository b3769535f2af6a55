"""The functions and types that every template can use, within the budget of the render."""

import builtins
from collections.abc import Mapping
from typing import Any

from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import safe_range
from jinja2.utils import Cycler, Joiner, Namespace, generate_lorem_ipsum

from chattmpl.budget import BYTES_PER_STEP, charge, weigh
from chattmpl.provenance.serialization import to_text

_WORD = 2 * BYTES_PER_STEP
"""Bytes charged for a word that is chosen at random."""

LONGEST_MESSAGE = 10_000
"""Maximum length of a message that a template raises or causes; the rest is cut off."""


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    charge(_WORD * abs(n) * builtins.max(abs(min), abs(max)))
    return generate_lorem_ipsum(n, html, min, max)


def _raise_exception(message: Any) -> None:
    error = TemplateError(str.__getitem__(to_text(message), slice(LONGEST_MESSAGE)))
    error.raised_by_template = True  # type: ignore[attr-defined]
    raise error


class TemplateDict:
    """The global ``dict``, which can only create dicts, so that templates cannot reach the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Return a new dict."""
        weigh(args)
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Return a new dict with these keys."""
        weigh(args)
        return dict.fromkeys(*args, **kwargs)


class TemplateNamespace(Namespace):
    """The global ``namespace``, which rejects names that start with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        weigh(rest)
        fields: Mapping[Any, Any] = dict(*rest, **kwargs)
        for name in fields:
            _check_name(name)
        Namespace.__init__(self, fields)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace attribute cannot start with an underscore: {name!r}")


GLOBALS: Mapping[str, Any] = {
    "range": safe_range,
    "cycler": Cycler,
    "joiner": Joiner,
    "dict": TemplateDict(),
    "namespace": TemplateNamespace,
    "lipsum": _lipsum,
    "raise_exception": _raise_exception,
}
"""The globals by name. What takes the clock of a render is added by the environment."""
