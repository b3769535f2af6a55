"""Plain JSON data: what a template may see of the values that callers put into a conversation."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

_SCALARS = frozenset({str, int, float, bool, type(None)})


def plain_data(value: Any) -> Any:
    """A fresh copy of a value that holds nothing but dicts, lists, tuples, strings, numbers, booleans and None.

    The rules are those of transformers 5.23, so that a template sees the same: subclasses of str, int and float become
    the base type, numpy scalars become Python ones, dataclasses and pydantic models become dicts, and anything else
    (an image, an array, bytes) becomes a string that names its type, as in ``<ndarray>``.

    Raises:
        RecursionError: the value contains itself, or is nested too deeply.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {key if type(key) is str else plain_data(key): plain_data(item) for key, item in value.items()}
    if kind is list:
        return [plain_data(item) for item in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    """The rare half of :func:`plain_data`: everything that is not exactly a JSON type."""
    # Not str(value), int(value): those call methods that the subclass may have replaced.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {plain_data(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain_data(item) for item in value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return plain_data(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return plain_data(value.model_dump())
    return f"<{type(value).__name__}>"


def fresh(value: Any) -> Any:
    """A copy whose dicts and lists are new and whose other values are the same objects."""
    kind = type(value)
    if kind is dict:
        return {key: fresh(item) for key, item in value.items()}
    if kind is list:
        return [fresh(item) for item in value]
    return value


def as_dict(value: Any) -> dict[str, Any] | None:
    """The keys and values of a mapping, a dataclass or a pydantic model, else None.

    A dict comes back as it is, not as a copy: it is the caller's, and must not be changed.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return None
    if callable(getattr(value, "model_dump", None)):
        dumped = value.model_dump()
        return dumped if isinstance(dumped, dict) else None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def as_list(value: Any) -> Any:
    """A list where the value is a tuple or an array (as rows read through pandas have), else the value itself."""
    if isinstance(value, (list, str, Mapping)):
        return value
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if callable(getattr(value, "tolist", None)) else value
