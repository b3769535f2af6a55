"""Mixtures: several sources with their template kwargs and their shares, and the seeded draw of rows that gives them.

Each row has a key, a number that its source's name, its own number and the seed make. A fraction of a source is the
rows with the smallest keys, so that a draw needs no state, gives exactly the share, and is the same on any machine.
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

from chattmpl.conversation.shapes import Shape
from chattmpl.data.config_file import Read, read_config
from chattmpl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".yaml", ".yml", ".toml")
EVERY = 1 << 64
"""The bound that all keys are below."""

_BLOCK = 1 << 20
_BIN_BITS = 20


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Read):
    """A source: files of one kind of conversations.

    Attributes:
        path: a file, a folder, a pattern, or a list of them; relative to the mixture's file.
        name: what the summary and the column ``source`` call it; by default what ``path`` says.
        shape: of its rows, where their keys do not show it.
        share: its part of the mixture; shares need not add up to anything.
        epochs: in place of a share, how often it is taken; 0.5 is half of it.
        max_epochs: with a share, how often a row may be repeated.
        chat_template_kwargs: for its rows; a row's own are above them.
        kwargs_from: template kwargs that columns of the rows hold, as ``{enable_thinking: "thinking"}``.
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
        """The paths, as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)


class Mixture(_Read):
    """Several sources.

    Attributes:
        sources: in the order in which their rows are written.
        share_of: what shares are of.
        total: how many tokens or examples the whole has; by default as many as need no repetition.
        seed: of the draw.
        chat_template_kwargs: for all sources; theirs are above them.
    """

    sources: list[Source] = Field(min_length=1)
    share_of: Literal["tokens", "examples"] = "examples"
    total: int | None = Field(default=None, gt=0)
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = {}

    @property
    def shared(self) -> bool:
        """Whether sources have shares, and not epochs."""
        return self.sources[0].share is not None


def load_mixture(path: str | Path) -> Mixture:
    """The mixture that a YAML or TOML file describes.

    Raises:
        UsageError: the file cannot be read, or says something that does not exist.
    """
    path = Path(path)
    read = read_config(path, usage=_USAGE, example=_EXAMPLE, package="chattmpl[data]")
    try:
        mixture = Mixture.model_validate(read.values)
    except ValidationError as error:
        raise _explained(read, error) from None
    return placed(mixture, path.parent, str(path), read)


_USAGE = "name files, folders, patterns or a mixture"
_EXAMPLE = "sources: [{path: a.jsonl}]"
_EXPECTED = {
    "sources": "a list of at least one source",
    "share_of": "tokens or examples",
    "total": "a whole number above 0",
    "seed": "a whole number",
    "path": "a path, or a list of paths",
    "name": "a text",
    "shape": f"one of {', '.join(get_args(Shape))}",
    "share": "a number above 0",
    "epochs": "a number above 0",
    "max_epochs": "a number above 0",
    "chat_template_kwargs": "a mapping of kwargs to values",
    "kwargs_from": "a mapping of kwargs to columns",
}


def _explained(read: Read, error: ValidationError) -> UsageError:
    """What a person is told: the first thing that is wrong, and where it stands."""
    detail = error.errors(include_url=False)[0]
    # A path is a text or a list, and the library tells of both with a step of its own.
    keys = tuple(step for step in detail["loc"] if step not in ("str", "list[str]"))
    where, place = _dotted(keys), read.place(keys)
    if detail["type"] == "extra_forbidden":
        known = (Source if keys[0] == "sources" else Mixture).model_fields
        hint = did_you_mean(str(keys[-1]), known) or f"the keys are {', '.join(known)}"
        return UsageError(f"unknown key {where}", place=place, hint=hint)
    if detail["type"] == "missing":
        holder = _dotted(keys[:-1]) or read.name
        return UsageError(f"{holder} has no {keys[-1]}", place=place, hint=f"as in '{_EXAMPLE}'")
    field = next((step for step in reversed(keys) if step in _EXPECTED), "")
    if isinstance(keys[-1], int) and field == "sources":
        wanted = "a mapping such as {path: a.jsonl}"
    else:
        wanted = _EXPECTED.get(str(field), "what a mixture says")
    said = json.dumps(detail["input"], ensure_ascii=False, default=str)
    said = said if len(said) <= _LONGEST_SAID else f"{said[:_LONGEST_SAID]}…"
    return UsageError(f"{where} is {said}, not {wanted}", place=place)


_LONGEST_SAID = 40


def _dotted(keys: Sequence[int | str]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in keys).lstrip(".")


def placed(mixture: Mixture, folder: Path, where: str, read: Read | None = None) -> Mixture:
    """A mixture whose paths are relative to a folder, with names for its sources, and checked.

    Args:
        mixture: what was said.
        folder: what its paths are relative to.
        where: it was said.
        read: the file that said it, if it was one that holds nothing else.

    Raises:
        UsageError: if what it says does not go together.
    """
    _check_paths(mixture, where, read)
    sources = [_placed(source, folder) for source in mixture.sources]
    return checked(mixture.model_copy(update={"sources": sources}), where)


def _placed(source: Source, folder: Path) -> Source:
    paths = [str(folder / path) for path in source.paths]
    return source.model_copy(update={"path": paths, "name": source.name or Path(source.paths[0]).name})


def _check_paths(mixture: Mixture, where: str, read: Read | None = None) -> None:
    for number, source in enumerate(mixture.sources):
        if source.paths and all(source.paths):
            continue
        keys = ("sources", number, "path")
        place = read.place(keys) if read else None
        said = "names no file" if not source.paths else "is an empty path"
        message = f"{_dotted(keys)} {said}"
        hint = "as in 'path: a.jsonl'; '.' is the folder itself"
        raise UsageError(message if place else f"{where}: {message}", place=place, hint=hint)


def checked(mixture: Mixture, where: str) -> Mixture:
    """The mixture, if what it says goes together.

    Raises:
        UsageError: if not.
    """
    _check_paths(mixture, where)
    names = [source.name for source in mixture.sources]
    for source in mixture.sources:
        if names.count(source.name) > 1:
            raise UsageError(f"{where}: two sources are called {source.name!r}", hint="give each a name of its own")
        if source.share is not None and source.epochs is not None:
            raise UsageError(f"{where}: {source.name} has a share and epochs", hint="keep one of the two")
        if (source.share is None) == mixture.shared:
            raise UsageError(f"{where}: some sources have a share and {source.name} has none", hint="give all one")
        if source.share is None and source.max_epochs is not None:
            raise UsageError(f"{where}: {source.name} has max_epochs without a share", hint="say epochs")
    if mixture.total is not None and not mixture.shared:
        raise UsageError(f"{where}: a total needs shares", hint="give each source a share")
    return mixture


@dataclass(frozen=True, slots=True)
class Draw:
    """Which rows of a source are taken: all of them ``whole`` times, and once more those with a key under ``below``."""

    whole: int = 1
    below: int = 0

    @property
    def rounds(self) -> Iterator[int]:
        """For each time that the source is gone through, the bound of the keys."""
        yield from [EVERY] * self.whole
        if self.below:
            yield self.below


@dataclass(frozen=True, slots=True)
class Available:
    """What a source has: its rows and, where shares are of tokens, the tokens that each row gives."""

    rows: int
    tokens: NDArray[np.int64] | None = None

    @property
    def amount(self) -> int:
        """Of tokens, where they are known, else of rows."""
        return self.rows if self.tokens is None else int(self.tokens.sum())


def draws(mixture: Mixture, available: Sequence[Available]) -> list[Draw]:
    """What is taken of each source.

    Raises:
        UsageError: a source has nothing, or no row is drawn, or one would have to be repeated more than it may be.
    """
    epochs = _epochs(mixture, [some.amount for some in available])
    found = []
    for source, some, times in zip(mixture.sources, available, epochs, strict=True):
        whole = int(times)
        rest = (times - whole) * some.amount
        below = bound(mixture.seed, source.name, some, rest) if rest >= 0.5 else 0
        found.append(Draw(whole + 1, 0) if below == EVERY else Draw(whole, below))
    drawn = zip(mixture.sources, available, found, strict=True)
    if not any(_takes(mixture.seed, source, some, draw) for source, some, draw in drawn):
        limits = "max_epochs" if mixture.shared else "epochs"
        raise UsageError("no row is drawn", hint=f"raise {limits if mixture.total is None else 'total'}")
    return found


def _takes(seed: int, source: Source, available: Available, draw: Draw) -> bool:
    """Whether a draw gives anything of what shares are of."""
    if draw.whole or not draw.below:
        return bool(draw.whole and available.amount)
    weigh = _weigher(available)
    blocks = _blocks(seed, source.name, available.rows)
    return any(weigh(first, len(some))[some < np.uint64(draw.below)].any() for first, some in blocks)


def _epochs(mixture: Mixture, amounts: Sequence[int]) -> list[float]:
    if not mixture.shared:
        return [1.0 if source.epochs is None else source.epochs for source in mixture.sources]
    for source, amount in zip(mixture.sources, amounts, strict=True):
        if not amount:
            raise UsageError(f"the source {source.name!r} gives no {mixture.share_of}", hint="see rejected.jsonl")
    shares = [float(source.share or 0) for source in mixture.sources]
    parts = [share / sum(shares) for share in shares]
    limits = [source.max_epochs for source in mixture.sources]
    pairs = list(zip(mixture.sources, parts, amounts, limits, strict=True))
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
        # Rounding must not make a last round of nothing, or leave out the last row.
        epochs.append(round(times) if abs(times - round(times)) * amount < 0.5 and round(times) else times)
    return epochs


def keys(seed: int, name: str, first: int, count: int) -> NDArray[np.uint64]:
    """The keys of rows of a source, evenly spread over all 64-bit numbers (splitmix64)."""
    start = int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")
    with np.errstate(over="ignore"):
        state = np.uint64(start) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


_GOLDEN = 0x9E3779B97F4A7C15


def bound(seed: int, name: str, available: Available, goal: float) -> int:
    """The bound of keys under which rows of a source have together an amount that is nearest to a goal."""
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
        yield first, keys(seed, name, first, min(_BLOCK, rows - first))
