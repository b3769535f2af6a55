"""Mixtures: several sources with template kwargs and shares, and the seeded draw of their rows.

Each row has a key: a hash of the seed, the name of its source and its number. A fraction of a source is the rows with
the smallest keys, so a draw needs no state, gives exactly the share, and is the same on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chattmpl.conversation.validation_errors import dotted
from chattmpl.data.config_file import ConfigFile, read_config
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.options import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL_KEYS = 1 << 64
"""Upper bound of all keys."""

_BLOCK = 1 << 20
_BIN_BITS = 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class MixtureSource(_Model):
    """A source: files with conversations of one kind.

    Attributes:
        path: a file, a folder, a pattern, or a list of them; relative to the mixture's file.
        name: its name in the summary and in the column ``source``; by default the name in ``path``.
        shape: the shape of its rows, if their keys do not show it.
        share: its relative weight in the mixture.
        epochs: instead of a share, the number of passes over it; 0.5 is half of its rows.
        max_epochs: with a share, the maximum number of passes over it.
        chat_template_kwargs: template kwargs for its rows; a row's own override them.
        kwargs_from: template kwargs that are read from columns, as in ``{enable_thinking: "thinking"}``.
    """

    path: str | list[str]
    name: str = ""
    shape: Shape | None = None
    share: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    chat_template_kwargs: dict[str, Any] = {}
    kwargs_from: dict[str, str] = {}

    @property
    def paths(self) -> list[str]:
        """The paths as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)


class Mixture(_Model):
    """Several sources.

    Attributes:
        sources: the sources, in the order in which their rows are written.
        share_of: unit of the shares.
        total: number of tokens or examples in total; by default as many as are possible without repetition.
        seed: seed of the draw.
        chat_template_kwargs: template kwargs for all sources; those of a source override them.
    """

    sources: list[MixtureSource] = Field(min_length=1)
    share_of: Literal["tokens", "examples"] = "examples"
    total: int | None = Field(default=None, gt=0)
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = {}

    @property
    def has_shares(self) -> bool:
        """True if the sources have shares, not epochs."""
        return self.sources[0].share is not None

    @property
    def shares(self) -> list[float]:
        """The fraction of each source; they add up to 1."""
        shares = [float(source.share or 0) for source in self.sources]
        return [share / sum(shares) for share in shares]


def load_mixture(path: str | Path) -> Mixture:
    """Load a mixture from a YAML or TOML file; raise `UsageError` if the file cannot be read, or is invalid."""
    path = Path(path)
    read = read_config(path, usage=_USAGE, example=_EXAMPLE, package="chattmpl[data]")
    try:
        mixture = Mixture.model_validate(read.values)
    except ValidationError as error:
        raise _usage_error(read, error) from None
    return resolve_mixture(mixture, path.parent, str(path), read)


_USAGE = "name files, folders, patterns or a mixture"
_EXAMPLE = "sources: [{path: a.jsonl}]"
_EXPECTED = {
    "sources": "a list of at least one source",
    "share_of": "tokens or examples",
    "total": "a whole number above 0",
    "seed": "a whole number",
    "path": "a path, or a list of paths",
    "name": "a string",
    "shape": f"one of {', '.join(get_args(Shape))}",
    "share": "a number above 0",
    "epochs": "a number above 0",
    "max_epochs": "a number above 0",
    "chat_template_kwargs": "a mapping of kwargs to values",
    "kwargs_from": "a mapping of kwargs to columns",
}


def _usage_error(read: ConfigFile, error: ValidationError) -> UsageError:
    """Return the first error, with its place."""
    detail = error.errors(include_url=False)[0]
    # For a path, a string or a list, Pydantic adds a step for each type.
    keys = tuple(step for step in detail["loc"] if step not in ("str", "list[str]"))
    where, place = dotted(keys), read.place(keys)
    if detail["type"] == "extra_forbidden":
        known = (MixtureSource if keys[0] == "sources" else Mixture).model_fields
        hint = did_you_mean(str(keys[-1]), known) or f"the keys are {', '.join(known)}"
        return UsageError(f"unknown key {where}", place=place, hint=hint)
    if detail["type"] == "missing":
        holder = dotted(keys[:-1]) or read.name
        return UsageError(f"{holder} has no {keys[-1]}", place=place, hint=f"as in '{_EXAMPLE}'")
    field = next((step for step in reversed(keys) if step in _EXPECTED), "")
    if isinstance(keys[-1], int) and field == "sources":
        wanted = "a mapping such as {path: a.jsonl}"
    else:
        wanted = _EXPECTED.get(str(field), "valid here")
    value = json.dumps(detail["input"], ensure_ascii=False, default=str)
    value = value if len(value) <= 40 else f"{value[:40]}…"
    return UsageError(f"{where} is {value}, not {wanted}", place=place)


def resolve_mixture(mixture: Mixture, folder: Path, where: str, read: ConfigFile | None = None) -> Mixture:
    """Resolve the paths of a mixture relative to a folder, name its sources, and check it.

    Args:
        mixture: the mixture.
        folder: the folder of its paths.
        where: name of the mixture in messages.
        read: the file of the mixture; None if it is a part of another file.

    Raises:
        UsageError: the mixture is invalid.
    """
    _check_paths(mixture, where, read)
    sources = [_resolved(source, folder) for source in mixture.sources]
    return check_mixture(mixture.model_copy(update={"sources": sources}), where)


def _resolved(source: MixtureSource, folder: Path) -> MixtureSource:
    paths = [str(folder / path) for path in source.paths]
    return source.model_copy(update={"path": paths, "name": source.name or Path(source.paths[0]).name})


def _check_paths(mixture: Mixture, where: str, read: ConfigFile | None = None) -> None:
    for number, source in enumerate(mixture.sources):
        if source.paths and all(source.paths):
            continue
        keys = ("sources", number, "path")
        place = read.place(keys) if read else None
        message = f"{dotted(keys)} {'is an empty path' if source.paths else 'names no file'}"
        hint = "as in 'path: a.jsonl'; '.' is the folder itself"
        raise UsageError(message if place else f"{where}: {message}", place=place, hint=hint)


def check_mixture(mixture: Mixture, where: str) -> Mixture:
    """Return the mixture if it is valid.

    Raises:
        UsageError: the mixture is invalid; the message begins with ``where``.
    """
    _check_paths(mixture, where)
    names = [source.name for source in mixture.sources]
    for source in mixture.sources:
        if names.count(source.name) > 1:
            raise UsageError(f"{where}: two sources are named {source.name!r}", hint="give each another name")
        if source.share is not None and source.epochs is not None:
            raise UsageError(f"{where}: {source.name} has a share and epochs", hint="keep one of the two")
        if (source.share is None) == mixture.has_shares:
            raise UsageError(
                f"{where}: some sources have a share and {source.name} has none", hint="give each source a share"
            )
        if source.share is None and source.max_epochs is not None:
            raise UsageError(f"{where}: {source.name} has max_epochs without a share", hint="use epochs instead")
    if mixture.total is not None and not mixture.has_shares:
        raise UsageError(f"{where}: a total needs shares", hint="give each source a share")
    return mixture


@dataclass(frozen=True, slots=True)
class Draw:
    """The rows drawn from a source: all of them ``whole`` times, and those with a key under ``below`` once more."""

    whole: int = 1
    below: int = 0

    @property
    def rounds(self) -> Iterator[int]:
        """The bound of the keys for each pass over the source."""
        yield from [ALL_KEYS] * self.whole
        if self.below:
            yield self.below


@dataclass(frozen=True, slots=True)
class Available:
    """The available rows of a source and, if shares are of tokens, the number of tokens of each."""

    rows: int
    tokens: NDArray[np.int64] | None = None

    @property
    def amount(self) -> int:
        """Number of tokens if known, else of rows."""
        return self.rows if self.tokens is None else int(self.tokens.sum())


def draw_rows(mixture: Mixture, available: Sequence[Available]) -> list[Draw]:
    """Return the rows to draw from each source.

    Raises:
        UsageError: a source is empty, no row is drawn, or a source would be repeated more than ``max_epochs``.
    """
    epochs = _epochs(mixture, [some.amount for some in available])
    found = []
    for source, some, times in zip(mixture.sources, available, epochs, strict=True):
        whole = int(times)
        rest = (times - whole) * some.amount
        below = key_bound(mixture.seed, source.name, some, rest) if rest >= 0.5 else 0
        found.append(Draw(whole + 1, 0) if below == ALL_KEYS else Draw(whole, below))
    drawn = zip(mixture.sources, available, found, strict=True)
    if not any(_takes(mixture.seed, source, some, draw) for source, some, draw in drawn):
        limits = "max_epochs" if mixture.has_shares else "epochs"
        raise UsageError("no row is drawn", hint=f"raise {limits if mixture.total is None else 'total'}")
    return found


def _takes(seed: int, source: MixtureSource, available: Available, draw: Draw) -> bool:
    """Return true if a draw gives any rows or tokens."""
    if draw.whole or not draw.below:
        return bool(draw.whole and available.amount)
    weigh = _weigher(available)
    blocks = _blocks(seed, source.name, available.rows)
    return any(weigh(first, len(some))[some < np.uint64(draw.below)].any() for first, some in blocks)


def _epochs(mixture: Mixture, amounts: Sequence[int]) -> list[float]:
    if not mixture.has_shares:
        return [1.0 if source.epochs is None else source.epochs for source in mixture.sources]
    for source, amount in zip(mixture.sources, amounts, strict=True):
        if not amount:
            raise UsageError(
                f"the source {source.name!r} gives no {mixture.share_of}",
                hint="chattmpl audit shows what is wrong with its rows",
            )
    limits = [source.max_epochs for source in mixture.sources]
    pairs = list(zip(mixture.sources, mixture.shares, amounts, limits, strict=True))
    if mixture.total is None:
        total = min(amount * (1.0 if limit is None else limit) / part for _, part, amount, limit in pairs)
    else:
        total = float(mixture.total)
    epochs = []
    for source, part, amount, limit in pairs:
        times = total * part / amount
        if limit is not None and times > limit * (1 + 1e-9):
            raise UsageError(
                f"the source {source.name!r} would be repeated {times:.2f} times, and its max_epochs is {limit:g}",
                hint="lower total, or its share",
            )
        # Rounding must not add an empty pass, or leave out the last row.
        epochs.append(round(times) if abs(times - round(times)) * amount < 0.5 and round(times) else times)
    return epochs


def row_keys(seed: int, name: str, first: int, count: int) -> NDArray[np.uint64]:
    """Return the keys of rows of a source, evenly spread over all 64-bit numbers (splitmix64)."""
    start = int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")
    with np.errstate(over="ignore"):
        state = np.uint64(start) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


_GOLDEN = 0x9E3779B97F4A7C15


def key_bound(seed: int, name: str, available: Available, goal: float) -> int:
    """Return the bound of keys under which the rows of a source have an amount closest to a goal."""
    weigh = _weigher(available)
    bins = np.zeros(1 << _BIN_BITS)
    shift = np.uint64(64 - _BIN_BITS)
    for first, some in _blocks(seed, name, available.rows):
        bins += np.bincount((some >> shift).astype(np.int64), weigh(first, len(some)), 1 << _BIN_BITS)
    reached = np.cumsum(bins)
    chosen = min(int(np.searchsorted(reached, goal)), len(bins) - 1)
    within: list[tuple[int, float]] = []
    for first, some in _blocks(seed, name, available.rows):
        inside = (some >> shift) == np.uint64(chosen)
        within += zip(some[inside].tolist(), weigh(first, len(some))[inside].tolist(), strict=True)
    total = float(reached[chosen] - bins[chosen])
    best, best_gap = chosen << (64 - _BIN_BITS), abs(goal - total)
    for key, weight in sorted(within):
        total += weight
        if abs(goal - total) <= best_gap:
            best, best_gap = key + 1, abs(goal - total)
    return best


def _weigher(available: Available) -> Callable[[int, int], NDArray[np.float64]]:
    tokens = available.tokens
    if tokens is None:
        return lambda first, count: np.ones(count)
    return lambda first, count: tokens[first : first + count].astype(np.float64)


def _blocks(seed: int, name: str, rows: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    for first in range(0, rows, _BLOCK):
        yield first, row_keys(seed, name, first, min(_BLOCK, rows - first))
