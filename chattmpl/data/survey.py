"""Survey of datasets: each row is encoded once and passed to a visitor, on several processes, in order.

A row of a dataset is a conversation, which may have several encoded rows.
"""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from chattmpl.conversation.notes import ReadingNote
from chattmpl.data.encoder import Encoder
from chattmpl.data.job.context import WorkerContext
from chattmpl.data.job.events import Phase, Watcher
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Payloads, Shard, check_kwargs, make_plan, read_mixture
from chattmpl.data.job.runner import Runner, Workplace
from chattmpl.data.job.shard import BATCH, DrawnRow, drawn_rows, read_conversation
from chattmpl.data.mixture import Available, Draw, Mixture, MixtureSource, key_bound, row_keys
from chattmpl.data.rows import Rejection, Row, attempt
from chattmpl.data.sources import RawRow
from chattmpl.errors import ConversationError, UsageError
from chattmpl.options import check_options
from chattmpl.printable import row_place
from chattmpl.template.template import Template

Data = Any
"""Paths, patterns or a mixture; or rows: a list of records, a ``datasets.Dataset``, or several of them by name."""

_FEW_BYTES, _FEW_ROWS = 2 << 20, 2000
"""Amount of data below which checking the fast path takes longer than the exact path."""

_BYTES_PER_WORKER = 4 << 20


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """A row of a dataset, encoded if possible.

    Attributes:
        file: its file; the name of the source for rows in memory.
        line: its line, from 1; None if there are no lines.
        number: its number in the file, from 0.
        record: its contents; None if it cannot be read.
        conversation: the conversation that was encoded; None if there is none.
        encoded: its encoded rows; empty if it is rejected.
        rejection: why there are none.
        repeated: true if a mixture repeats the row.
        notes: how it was read.
    """

    source: str
    file: str
    line: int | None
    number: int
    record: Any
    conversation: Any
    encoded: tuple[Row, ...]
    rejection: Rejection | None
    repeated: bool = False
    notes: tuple[ReadingNote, ...] = ()

    @property
    def place(self) -> str:
        """``file:line``, or ``file[number]`` if there are no lines."""
        return row_place(self.file, self.line, self.number)


_Seen = TypeVar("_Seen")


class RowVisitor(Protocol[_Seen]):
    """A visitor of rows, which can be pickled. It collects its results in an object of type ``_Seen``."""

    @property
    def keep(self) -> Sequence[str]:
        """Optional attributes of rows that it needs; see `Encoder`."""

    def start(self) -> _Seen:
        """Return the result for no rows."""

    def visit(self, seen: _Seen, rows: Sequence[ScannedRow], encoder: Encoder) -> None:
        """Add some rows to a result."""

    def merge(self, seen: _Seen, more: _Seen) -> None:
        """Add the result of the next rows, from another process, to a result."""


@dataclass(frozen=True)
class Surveyed(Generic[_Seen]):
    """The result of a survey.

    Attributes:
        seen: the result of the visitor.
        sources: the names of the sources, in order.
    """

    seen: _Seen
    sources: tuple[str, ...]


def survey(
    data: Data,
    template: Template,
    tokenizer: Any,
    visitor: RowVisitor[_Seen],
    options: Options,
    *,
    sample: int | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
    template_notes: bool = True,
) -> Surveyed[_Seen]:
    """Visit all rows in order; the result does not depend on the number of workers.

    Args:
        data: see `Data`. From a mixture, the rows that `chattmpl encode` draws.
        template: renders the rows.
        tokenizer: encodes them.
        visitor: the visitor.
        options: options of encoding; ``limit`` applies to each source.
        sample: visit at most this number of rows of each source, drawn by the seed from all of it.
        workers: number of processes; by default as many as are worth starting. Rows in memory are visited in this one.
        watcher: receives the progress.
        template_notes: whether it receives notes on the template.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: an argument is invalid.
    """
    workplace = Workplace(workers)
    watcher = watcher or Watcher()
    shown: dict[str, Any] = {"watcher": watcher, "template_notes": template_notes}
    check_options(sample=sample)
    in_memory = _rows_by_source(data)
    if in_memory is not None:
        mixture = Mixture(sources=[MixtureSource(path=name, name=name) for name in in_memory])
    else:
        mixture = read_mixture(data)
    if options.seed is not None:
        mixture = mixture.model_copy(update={"seed": options.seed})
    check_kwargs(mixture, template)
    sources = tuple(source.name for source in mixture.sources)
    if in_memory is not None:
        count = sum(len(rows) if isinstance(rows, Sized) else _FEW_ROWS for rows in in_memory.values())
        options = _without_check(options, few=count < _FEW_ROWS)
        context = WorkerContext.open(template, tokenizer, options, mixture, keep=visitor.keep, **shown)
        return Surveyed(_visit_memory(in_memory, context, visitor, sample), sources)
    plan = make_plan(mixture, limit=options.limit, watcher=watcher)
    options = _without_check(options, few=sum(shard.weight for shard in plan.shards()) < _FEW_BYTES)
    context = WorkerContext.open(template, tokenizer, options, mixture, plan=plan, keep=visitor.keep, **shown)
    runner = Runner(context, workplace, watcher, _BYTES_PER_WORKER)
    if sample is not None:
        draws = (_sample(mixture.seed, source.source.name, source.rows, sample) for source in plan.sources)
        plan = replace(plan, draws=tuple(draws))
    else:
        plan = runner.draw(plan)
    shards = plan.shards()
    watcher.begins(Phase.SCAN, sum(shard.weight for shard in shards), 0)
    seen = visitor.start()
    for shard, some in _in_order(runner.run(plan, shards, partial(_visit_shard, visitor))):
        visitor.merge(seen, some)
        watcher.advances(shard.weight, {})
    return Surveyed(seen, sources)


def _without_check(options: Options, *, few: bool) -> Options:
    """Use the exact path for few rows: it is done before the fast path is checked."""
    return replace(options, fast="off") if few and options.fast == "auto" else options


def _rows_by_source(data: Data) -> dict[str, Iterable[Any]] | None:
    """Return rows in memory by the name of their source; None if the data are files."""
    if isinstance(data, str | os.PathLike | Mixture):
        return None
    if isinstance(data, Mapping):
        named = {"data": [data]} if "messages" in data or "conversations" in data else dict(data)
        for name, rows in named.items():
            if isinstance(rows, str | os.PathLike) or not isinstance(rows, Iterable):
                problem = f"the rows of {name!r} are {type(rows).__name__}"
                raise UsageError(problem, hint="give records or a Dataset; for files, use a mixture")
        return named
    if isinstance(data, Sequence) and data and all(isinstance(item, str | os.PathLike) for item in data):
        return None
    if isinstance(data, Iterable):
        return {"data": data}
    raise UsageError(f"{type(data).__name__} is not a dataset", hint="give paths, a list of records or a Dataset")


def _sample(seed: int, name: str, rows: int, sample: int) -> Draw:
    return Draw() if rows <= sample else Draw(0, key_bound(seed, name, Available(rows), sample))


def _in_order(results: Iterator[tuple[Shard, Any]]) -> Iterator[tuple[Shard, Any]]:
    """Yield results in the order of the shards; few have to wait, since few are in flight."""
    waiting: dict[int, tuple[Shard, Any]] = {}
    number = 0
    for shard, result in results:
        waiting[shard.number] = (shard, result)
        while number in waiting:
            yield waiting.pop(number)
            number += 1


_Entry = tuple[MixtureSource, str, RawRow, bool]
"""A row's source, its file, the row, and whether it is repeated."""


def _visit_memory(
    in_memory: Mapping[str, Iterable[Any]], context: WorkerContext, visitor: RowVisitor[_Seen], sample: int | None
) -> _Seen:
    seen = visitor.start()
    for source, rows in zip(context.sources, in_memory.values(), strict=True):
        numbered: Iterable[tuple[int, Any]] = enumerate(rows)
        if sample is not None and isinstance(rows, Sized) and len(rows) > sample:
            below = key_bound(context.seed, source.name, Available(len(rows)), sample)
            drawn = row_keys(context.seed, source.name, 0, len(rows)) < np.uint64(below)
            numbered = (pair for pair in numbered if drawn[pair[0]])
        entries = ((source, source.name, RawRow(number, None, value), False) for number, value in numbered)
        _visit(islice(entries, context.options.limit), context, visitor, seen)
    return seen


def _visit_shard(visitor: RowVisitor[Any], context: WorkerContext, shard: Shard, payloads: Payloads) -> Any:
    """Return the result for the rows of a shard."""

    def entry(item: DrawnRow) -> _Entry:
        return context.sources[item.part.source], context.path(item.part), item.raw, item.part.round > 0

    seen = visitor.start()
    _visit(map(entry, drawn_rows(context, shard, payloads)), context, visitor, seen)
    return seen


def _visit(entries: Iterator[_Entry], context: WorkerContext, visitor: RowVisitor[_Seen], seen: _Seen) -> None:
    while some := list(islice(entries, BATCH)):
        scanned = list(_scan(some, context))
        found = attempt(_visited, visitor, scanned, context.encoder)
        if not isinstance(found, Rejection):
            visitor.merge(seen, found)
        else:  # of one of the rows, which are now visited one by one
            for each in scanned:
                found = attempt(_visited, visitor, [each], context.encoder)
                if isinstance(found, Rejection):
                    row = replace(each, record=None, conversation=None, encoded=(), rejection=found)
                    found = _visited(visitor, [row], context.encoder)
                visitor.merge(seen, found)
        # The command line runs without the collector, and renderings leave cycles.
        gc.collect(0)


def _visited(visitor: RowVisitor[_Seen], rows: Sequence[ScannedRow], encoder: Encoder) -> _Seen:
    """Return the result of visiting some rows."""
    found = visitor.start()
    visitor.visit(found, rows, encoder)
    return found


def _scan(entries: Sequence[_Entry], context: WorkerContext) -> Iterator[ScannedRow]:
    readings = [read_conversation(raw, source, context.options) for source, _, raw, _ in entries]
    results = iter(context.encoder.encode_rows(one for one in readings if not isinstance(one, Rejection)))
    for (source, file, raw, repeated), reading in zip(entries, readings, strict=True):
        result = reading if isinstance(reading, Rejection) else next(results)
        yield ScannedRow(
            source.name,
            file,
            raw.line,
            raw.number,
            raw.value,
            None if isinstance(reading, Rejection) else reading.value,
            () if isinstance(result, Rejection) else tuple(result),
            result if isinstance(result, Rejection) else None,
            repeated,
            () if isinstance(reading, Rejection) else reading.notes,
        )


def require_rows(rows: int) -> None:
    """Raise `ConversationError` if there was no row."""
    if not rows:
        raise ConversationError("the data have no rows")
