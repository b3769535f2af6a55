"""Batches as maps over data sets hand them out and take them back."""

from __future__ import annotations

from typing import Any

import numpy as np

from chattmpl.data.encoder.encoded_batch import Encoded


def with_errors(made: dict[str, list[Any]], encoded: Encoded) -> dict[str, list[Any]]:
    """The columns with a row for each conversation: where it was rejected, without tokens and with the reason."""
    empty = {"length": 0}
    place = dict(zip(encoded.kept, range(len(encoded)), strict=True))
    full: dict[str, list[Any]] = {}
    for name, values in made.items():
        nothing = empty.get(name, np.zeros(0, dtype=values[0].dtype if values and name != "length" else np.int32))
        full[name] = [values[place[index]] if index in place else nothing for index in range(encoded.count)]
    reasons = {index: f"{rejected.reason}: {rejected.message}" for index, rejected in encoded.rejected.items()}
    full["error"] = [reasons.get(index) for index in range(encoded.count)]
    return full


def as_list(column: Any) -> Any:
    """A column as plain data: Ray's and numpy's columns hold arrays of arrays."""
    if not callable(getattr(column, "tolist", None)):
        return column
    return [_plain(value) for value in column.tolist()]


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is list:
        return [_plain(item) for item in value]
    return as_list(value) if getattr(value, "ndim", 0) else value
