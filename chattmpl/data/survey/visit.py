"""From data sets to looks at their rows, each row encoded once, on as many processes as pay."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from chattmpl.conversation.validation_errors import FieldError, dotted
from chattmpl.data.encoder import Encoder
from chattmpl.data.job import Options, Watcher, pool
from chattmpl.data.job.batch import Item, conversation_of
from chattmpl.data.job.factory import encoder_of, prepared, prompts_of, with_kwargs_of
from chattmpl.data.job.inputs import check_kwargs, mixture_of
from chattmpl.data.job.plan import Plan, Shard, plan
from chattmpl.data.job.shard import BATCH, drawn, measure
from chattmpl.data.job.tasks import tasks
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.mixture import Available, Draw, Mixture, Source, bound, draws, keys
from chattmpl.data.samples import Refusal
from chattmpl.data.sources import RawRow
from chattmpl.errors import ChatTmplError, ConversationError, UsageError
from chattmpl.template.template import Template

Data = Any
"""Paths, patterns, a mixture; or rows: a list of records, a ``datasets.Dataset``, or several of them by name."""

_FEW_BYTES, _FEW_ROWS = 2 << 20, 2000
"""Data for which it does not pay to check the fast path."""

_A_WORKER = 4 << 20
"""Bytes of data for which a process more pays."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that is looked at.

    Attributes:
        source: the name of its source.
        file: its file; the name of the source for rows in memory.
        line: its line, from 1; None where there are no lines.
        number: its number in the file, from 0.
        record: the row as it stands there; None if it cannot be read.
        conversation: what the encoder was given; None if the row cannot be read.
        row: a `Row`; None if there is none.
        refusal: why there is none.
        repeated: a mixture takes the row once more than it stands there.
    """

    source: str
    file: str
    line: int | None
    number: int
    record: Any
    conversation: Any
    row: Any
    refusal: Refusal | None
    repeated: bool = False

    @property
    def place(self) -> str:
        """``file:line``, or ``file[number]`` where there are no lines."""
        return f"{self.file}[{self.number}]" if self.line is None else f"{self.file}:{self.line}"


_Seen = TypeVar("_Seen")


class Looker(Protocol[_Seen]):
    """What looks at rows. It can be pickled."""

    @property
    def keep(self) -> Sequence[str]:
        """What it wants to know of a row besides tokens and mask; see `Encoder`."""

    def begin(self) -> _Seen:
        """What was seen of no row."""

    def look(self, seen: _Seen, rows: Sequence[Taken], encoder: Encoder) -> None:
        """Looks at some rows, and adds to what was seen."""

    def join(self, seen: _Seen, more: _Seen) -> None:
        """Adds what another process saw of the rows behind."""


@dataclass(frozen=True)
class Surveyed(Generic[_Seen]):
    """What was seen of all rows.

    Attributes:
        seen: by the looker.
        sources: the names of the sources, in their order.
    """

    seen: _Seen
    sources: tuple[str, ...]


def survey(
    data: Data,
    template: Template,
    tokenizer: Any,
    looker: Looker[_Seen],
    options: Options,
    *,
    sample: int | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Surveyed[_Seen]:
    """Looks at all rows, in order; the same whatever the number of workers.

    Args:
        data: see `Data`. Of a mixture the rows are taken that `chattmpl encode` draws.
        template: what to render with.
        tokenizer: what to encode with.
        looker: what looks.
        options: of encoding; ``limit`` is of the rows of each source.
        sample: look at so many rows of each source only, which the seed spreads over all of it.
        workers: how many processes; as many as pay if None. Rows in memory are looked at in this one.
        watcher: is told how it goes.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: something is asked for that does not exist.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is at least 1, not {workers}")
    watcher = watcher or Watcher()
    if sample is not None and sample < 1:
        raise UsageError(f"sample is at least 1, not {sample}")
    named = _in_memory(data)
    mixture = mixture_of(data) if named is None else Mixture(sources=[Source(path=name, name=name) for name in named])
    if options.seed is not None:
        mixture = mixture.model_copy(update={"seed": options.seed})
    check_kwargs(mixture, template)
    sources = tuple(source.name for source in mixture.sources)
    if named is not None:
        few = sum(len(rows) if isinstance(rows, Sized) else _FEW_ROWS for rows in named.values()) < _FEW_ROWS
        setup = _setup(mixture, template, tokenizer, _fitting(options, few=few), watcher, looker.keep)
        return Surveyed(_rows_in_memory(named, setup, looker, sample), sources)
    plan_ = plan(mixture, limit=options.limit, seen=watcher.reading, note=watcher.note)
    files = tuple(tuple(scan.file for scan in source.scans) for source in plan_.sources)
    few = sum(shard.weight for shard in plan_.shards(packed=False)) < _FEW_BYTES
    setup = replace(_setup(mixture, template, tokenizer, _fitting(options, few=few), watcher, looker.keep), files=files)
    if sample is not None:
        plan_ = replace(
            plan_, draws=tuple(_sampled(mixture.seed, s.source.name, s.rows, sample) for s in plan_.sources)
        )
    elif any(source.share is not None or source.epochs is not None for source in mixture.sources):
        plan_ = replace(plan_, draws=tuple(draws(mixture, list(_available(plan_, setup, workers, watcher)))))
    shards = plan_.shards(packed=False)
    watcher.begins("looking", sum(shard.weight for shard in shards), 0)
    seen = looker.begin()
    for shard, some in _in_order(_each(plan_, setup, shards, partial(_work, looker), workers)):
        looker.join(seen, some)
        watcher.advances(shard.weight, {})
    return Surveyed(seen, sources)


def _fitting(options: Options, *, few: bool) -> Options:
    """For few rows the exact path is done before the fast one is checked, and gives the same."""
    return replace(options, fast="off") if few and options.fast == "auto" else options


def _in_memory(data: Data) -> dict[str, Iterable[Any]] | None:
    """Rows by the name of their source; None if the data are files."""
    if isinstance(data, str | os.PathLike | Mixture):
        return None
    if isinstance(data, Mapping):
        named = {"data": [data]} if "messages" in data or "conversations" in data else dict(data)
        for name, rows in named.items():
            if isinstance(rows, str | os.PathLike) or not isinstance(rows, Iterable):
                raise UsageError(f"the rows of {name!r} are {type(rows).__name__}", hint="a mixture names files")
        return named
    if isinstance(data, Sequence) and data and all(isinstance(item, str | os.PathLike) for item in data):
        return None
    if isinstance(data, Iterable):
        return {"data": data}
    raise UsageError(f"{type(data).__name__} is no data set", hint="give paths, a list of records or a Dataset")


def _setup(
    mixture: Mixture, template: Template, tokenizer: Any, options: Options, watcher: Watcher, keep: Sequence[str]
) -> Setup:
    encoder = prepared(encoder_of(template, tokenizer, options, keep), watcher.note)
    sources = with_kwargs_of(mixture)
    prompts = prompts_of(template, tokenizer, options)
    return Setup(encoder, options, sources, (), mixture.seed, Path(), prompts)


def _sampled(seed: int, name: str, rows: int, sample: int) -> Draw:
    return Draw() if rows <= sample else Draw(0, bound(seed, name, Available(rows), sample))


def _rows_in_memory(
    named: Mapping[str, Iterable[Any]], setup: Setup, looker: Looker[_Seen], sample: int | None
) -> _Seen:
    seen = looker.begin()
    for source, rows in zip(setup.sources, named.values(), strict=True):
        numbered: Iterable[tuple[int, Any]] = enumerate(rows)
        if sample is not None and isinstance(rows, Sized) and len(rows) > sample:
            below = bound(setup.seed, source.name, Available(len(rows)), sample)
            taken = keys(setup.seed, source.name, 0, len(rows)) < np.uint64(below)
            numbered = (pair for pair in numbered if taken[pair[0]])
        items = ((source, source.name, RawRow(number, None, value), False) for number, value in numbered)
        _look(islice(items, setup.options.limit), setup, looker, seen)
    return seen


def _each(
    plan_: Plan, setup: Setup, shards: Sequence[Shard], work: pool.Work, workers: int | None
) -> Iterator[tuple[Shard, Any]]:
    if workers is None:
        workers = max(1, min(pool.cores(), sum(shard.weight for shard in shards) // _A_WORKER))
    return pool.run(setup, work, tasks(plan_, shards), min(workers, len(shards)))


def _available(plan_: Plan, setup: Setup, workers: int | None, watcher: Watcher) -> Iterator[Available]:
    """What each source has, of what shares are of."""
    rows = [source.rows for source in plan_.sources]
    if not plan_.mixture.shared or plan_.mixture.share_of == "examples":
        yield from (Available(count) for count in rows)
        return
    tokens: list[Any] = [np.zeros(count, dtype=np.int64) for count in rows]
    shards = plan_.shards(packed=False)
    watcher.begins("counting tokens", sum(shard.weight for shard in shards), 0)
    for shard, lengths in _each(plan_, setup, shards, measure, workers):
        for source, number, count in lengths:
            tokens[source][number] = count
        watcher.advances(shard.weight, {})
    yield from (Available(len(some), some) for some in tokens)


def _in_order(results: Iterator[tuple[Shard, Any]]) -> Iterator[tuple[Shard, Any]]:
    """Results in the order of the shards; few wait, since few are under way."""
    waiting: dict[int, tuple[Shard, Any]] = {}
    number = 0
    for shard, result in results:
        waiting[shard.number] = (shard, result)
        while number in waiting:
            yield waiting.pop(number)
            number += 1


_Given = tuple[Source, str, RawRow, bool]


def _work(looker: Looker[Any], setup: Setup, shard: Shard, payloads: Sequence[bytes | None]) -> Any:
    """What is seen of the rows of a shard."""
    seen = looker.begin()

    def given(item: Item) -> _Given:
        part = item.part
        return setup.sources[part.source], setup.files[part.source][part.file].path, item.raw, part.round > 0

    _look(map(given, drawn(setup, shard, payloads)), setup, looker, seen)
    return seen


def _look(items: Iterator[_Given], setup: Setup, looker: Looker[_Seen], seen: _Seen) -> None:
    while some := list(islice(items, BATCH)):
        looker.look(seen, list(_taken(some, setup)), setup.encoder)  # type: ignore[arg-type]
        # The command line runs without the collector, and renderings leave cycles behind.
        gc.collect(0)


def _taken(items: Sequence[_Given], setup: Setup) -> Iterator[Taken]:
    conversations = [_conversation(source, raw, setup.options) for source, _, raw, _ in items]
    ready = [each for each in conversations if not isinstance(each, Refusal)]
    results = iter(setup.encoder.encode_many(ready))
    for (source, file, raw, repeated), conversation in zip(items, conversations, strict=True):
        place = (source.name, file, raw.line, raw.number, raw.value)
        if isinstance(conversation, Refusal):
            yield Taken(*place, None, None, conversation, repeated)
            continue
        result = next(results)
        if hasattr(result, "input_ids"):
            yield Taken(*place, conversation, result, None, repeated)
        else:
            why = Refusal(result.reason, result.message, result.hint, result.place)
            yield Taken(*place, conversation, None, why, repeated)


def _conversation(source: Source, raw: RawRow, options: Options) -> Any:
    if raw.error is not None:
        return Refusal("json", raw.error.message, raw.error.hint)
    try:
        conversation = conversation_of(raw.value, source, options)
    except FieldError as error:
        return Refusal("conversation", error.message, error.hint, dotted(error.path) or None)
    except ChatTmplError as error:
        return Refusal("conversation", error.message, error.hint)
    return conversation


def refuse_nothing(rows: int) -> None:
    """Says so where there was no row at all.

    Raises:
        ConversationError: there was none.
    """
    if not rows:
        raise ConversationError("there is no row to look at")
