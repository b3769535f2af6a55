"""The work on one shard: read, encode, shorten, pack and write its rows."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chattmpl.budget import pause_gc
from chattmpl.conversation.notes import ReadingNote
from chattmpl.conversation.shapes import Reading, read_record
from chattmpl.data.job.context import WorkerContext, add, count
from chattmpl.data.job.events import Counts
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Payloads, Shard, ShardPart
from chattmpl.data.lengths import best_fit, rows_needed
from chattmpl.data.mixture import ALL_KEYS, MixtureSource, row_keys
from chattmpl.data.overflow import Fitted, fit, reject_too_long
from chattmpl.data.reading import as_counts
from chattmpl.data.rows import NOTHING_TO_TRAIN, EncodedBatch, Rejection, RejectionReason, Row, RowArrays, attempt
from chattmpl.data.sources import RawRow, load, rows
from chattmpl.data.writers import RowBlock, open_table, record_batch, schema, write_json, write_lines
from chattmpl.errors import ChatTmplError

BATCH = 512
"""Number of rows that are encoded together."""

_METERED = 64
"""Number of rows after which their bytes are counted."""

ROW_GROUP_TOKENS = 1 << 20
"""Approximate number of tokens that are written together."""

TRL_WINDOW = 1000
"""Number of rows that ``datasets.map``, and so trl, packs at a time."""

_Made = TypeVar("_Made")


class DrawnRow(NamedTuple):
    """A drawn row, and the part that it belongs to."""

    raw: RawRow
    part: ShardPart


# -- a shard


def encode_shard(context: WorkerContext, shard: Shard, payloads: Payloads) -> Counts:
    """Encode a shard and write its files; return the counts, which are written too."""
    data, rejected, done = context.paths(shard.number)
    options = context.options
    packed = options.pack is not None
    counts: Counts = {}
    records: list[dict[str, Any]] = []
    waiting: list[Result] = []
    before = context.report()
    with open_table(data, options.form, schema(options.all_columns, packed=packed)) as write:
        for result in _results(context, shard, payloads):
            add(counts, result.counts)
            records += result.rejected
            result.items = ()  # the rows as they were read, which are not needed any more
            waiting.append(result)
            if not packed and sum(some.tokens for some in waiting) >= ROW_GROUP_TOKENS:
                _write(write, waiting, options, counts)
                waiting = []
        _write(write, waiting, options, counts)
    since = {name: value - before[name] for name, value in context.report().items() if value != before[name]}
    add(counts, {"paths": since})
    write_lines(rejected, records)
    write_json(done, counts)
    return counts


def _write(write: Callable[[Any], None], results: Sequence[Result], options: Options, counts: Counts) -> None:
    """Write the rows of results, packed if asked for."""
    blocks = [result.block for result in results if result.tokens]
    columns = options.all_columns
    if options.pack is None:
        if blocks:
            write(record_batch(RowBlock.join(blocks), columns))
        return
    size = options.pack
    block = RowBlock.join(blocks) if blocks else None
    lengths = block.rows.lengths.tolist() if block is not None else []
    packs = best_fit(lengths, size)
    pack_counts = {"rows": len(packs), "documents": len(lengths), "tokens": sum(lengths)}
    add(counts, {"pack": {**pack_counts, "trl_rows": rows_needed(lengths, size, TRL_WINDOW)}})
    step = max(1, ROW_GROUP_TOKENS // size)
    if block is not None:
        for first in range(0, len(packs), step):
            write(record_batch(block, columns, packs[first : first + step]))


def count_tokens(context: WorkerContext, shard: Shard, payloads: Payloads) -> list[tuple[int, int, int]]:
    """Encode a shard; return the source, the number in its source and the number of tokens of each row."""
    return [
        (item.part.source, _number(item), tokens)
        for result in _results(context, shard, payloads)
        for item, tokens in zip(result.items, result.lengths.tolist(), strict=True)
    ]


def _results(context: WorkerContext, shard: Shard, payloads: Payloads) -> Iterator[Result]:
    """Yield the results of a shard's rows, batch by batch."""
    items = drawn_rows(context, shard, payloads)
    while True:
        with pause_gc():
            batch = list(islice(items, BATCH))
            result = encode_items(context, batch) if batch else None
        if result is None:
            return
        yield result


def drawn_rows(context: WorkerContext, shard: Shard, payloads: Payloads) -> Iterator[DrawnRow]:
    """Yield the drawn rows of a shard."""
    for part, payload in zip(shard.parts, payloads, strict=True):
        file, chunk = context.files[part.source][part.file], part.chunk
        drawn = None
        if part.below != ALL_KEYS:
            drawn = row_keys(context.seed, context.name(part), part.first, chunk.rows) < np.uint64(part.below)
        data = load(file, chunk) if payload is None else payload
        for number, raw in enumerate(islice(rows(data, chunk, file), chunk.rows)):
            if number % _METERED == 0:
                context.meter.add(chunk.weight * min(_METERED, chunk.rows - number) // chunk.rows)
            if drawn is None or drawn[number]:
                yield DrawnRow(raw, part)


# -- a batch of rows


@dataclass
class Result:
    """The result for some rows.

    Attributes:
        block: the encoded rows, in order.
        rejected: the rows that gave none, or not all that they contain, as JSON.
        counts: what happened.
        items: the drawn rows.
        lengths: the number of tokens of each.
        tokens: the number of tokens in the block.
    """

    block: RowBlock
    rejected: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=dict)
    items: Sequence[DrawnRow] = ()
    lengths: Any = ()
    tokens: int = 0


def encode_items(context: WorkerContext, items: Sequence[DrawnRow]) -> Result:
    """Encode some rows."""
    return _Batch(context, items).run()


class _Batch:
    """Some rows that are encoded together."""

    def __init__(self, context: WorkerContext, items: Sequence[DrawnRow]) -> None:
        self.context, self.items = context, items
        self.options = context.options
        self.result = Result(RowBlock(RowArrays.of([])))
        self.outcomes: list[list[Row | Rejection]] = [[] for _ in items]

    def run(self) -> Result:
        ready: list[tuple[int, Reading]] = []
        notes: Counter[ReadingNote] = Counter()
        for number, item in enumerate(self.items):
            reading = read_conversation(item.raw, self.context.sources[item.part.source], self.options)
            if isinstance(reading, Rejection):
                self.outcomes[number].append(reading)
                continue
            ready.append((number, reading))
            if item.part.round == 0:
                notes.update(reading.notes)
        if notes:
            add(self.result.counts, {"reading": as_counts(notes)})
        if (encoded := self._encode_at_once(ready)) is not None:
            self._settle_at_once(encoded, [number for number, _ in ready])
        else:
            self._encode(ready)
            self._settle()
        return self.result

    def _encode_at_once(self, ready: Sequence[tuple[int, Reading]]) -> EncodedBatch | None:
        """Encode to a few arrays; return None if a row is too long or the batch cannot be encoded."""
        if "message_index" in self.options.all_columns:  # the exact path, which is too slow to be tried first
            return None
        encoded = attempt(self.context.encoder.encode_batch, [reading for _, reading in ready])
        if isinstance(encoded, Rejection):  # of one of the rows, which are now encoded one by one
            return None
        longest = self.options.longest
        return None if longest is not None and (encoded.rows.lengths > longest).any() else encoded

    def _encode(self, ready: Sequence[tuple[int, Reading]]) -> None:
        longest = self.options.longest
        results = _all_or_each(self.context.encoder.encode_rows, [reading for _, reading in ready])
        for (number, reading), result in zip(ready, results, strict=True):
            if isinstance(result, Rejection):
                self.outcomes[number].append(result)
            elif longest is None or all(len(row) <= longest for row in result):
                self.outcomes[number] += result
            else:
                self._fit(number, reading.value, result, longest)

    def _fit(self, number: int, conversation: Any, rows: Sequence[Row], longest: int) -> None:
        """Fit the rows of a conversation, some of which are too long; count what is lost."""
        encoder, overflow = self.context.encoder, self.options.overflow
        if len(rows) > 1 and overflow in ("reject", "truncate-turns"):
            fitting = attempt(encoder.fitting_rows, conversation, longest)
            if isinstance(fitting, Rejection):
                self.outcomes[number].append(fitting)
                return
            self.outcomes[number] += fitting[0]
            self._drop_turns(number, fitting[1], bool(fitting[0]))
            return
        fitted = attempt(partial(fit, mask=self.options.mask), encoder, conversation, rows, longest, overflow)
        if isinstance(fitted, Rejection):
            fitted = Fitted(rejected=[fitted])
        self.outcomes[number] += [*fitted.rejected, *fitted.rows]
        add(self.result.counts, {"overflow": dict(fitted.counts)} if fitted.counts else {})

    def _drop_turns(self, number: int, turns: Sequence[int], others: bool) -> None:
        """Count or reject the turns of a conversation that fit into no row."""
        if others and self.options.overflow != "reject":
            add(self.result.counts, {"overflow": {"rows": 1, "turns": len(turns)}})
            return
        where = ", ".join(f"messages[{turn}]" for turn in turns)
        message = f"{where} with its context has more than {self.options.longest} tokens"
        self.outcomes[number].append(reject_too_long(message))

    # -- results

    def _settle(self) -> None:
        """Count the outcomes, and keep the rows."""
        rejected: dict[int, list[Rejection]] = {}
        kept: list[Row] = []
        origins: list[DrawnRow] = []
        figures = []
        for number, (item, outcome) in enumerate(zip(self.items, self.outcomes, strict=True)):
            if failed := [NOTHING_TO_TRAIN if isinstance(each, Row) else each for each in outcome if not _trains(each)]:
                rejected[number] = failed
            trained = [each for each in outcome if isinstance(each, Row) and each.trained]
            figures.append((sum(map(len, trained)), sum(row.trained for row in trained), len(trained)))
            kept += trained
            origins += [item] * len(trained)
        self._count(np.array(figures, dtype=np.int64).T, rejected)
        keep = ("message_index",) if "message_index" in self.options.all_columns else ()
        self._keep(RowArrays.of(kept, keep), origins)

    def _settle_at_once(self, encoded: EncodedBatch, numbers: Sequence[int]) -> None:
        """Count the outcomes, and keep the rows in the arrays in which they were encoded."""
        for index, rejection in encoded.rejected.items():
            self.outcomes[numbers[index]].append(rejection)
        rows, trained = encoded.rows, encoded.rows.trained
        kept = np.array([numbers[index] for index in encoded.kept], dtype=np.int64)
        good = np.flatnonzero(trained)
        figures = np.zeros((3, len(self.items)), dtype=np.int64)
        for figure, values in zip(figures, (rows.lengths, trained, np.ones(len(rows), dtype=np.int64)), strict=True):
            np.add.at(figure, kept[good], values[good])
        self._count(
            figures,
            {
                number: [each for each in self.outcomes[number] if isinstance(each, Rejection)] or [NOTHING_TO_TRAIN]
                for number in np.flatnonzero(figures[2] == 0).tolist()
            },
        )
        origins = [self.items[number] for number in kept[good].tolist()]
        self._keep(rows if len(good) == len(rows) else rows.take(good), origins)

    def _count(self, figures: Any, rejected: Mapping[int, Sequence[Rejection]]) -> None:
        """Count the outcomes of the items.

        Args:
            figures: for each item its tokens, its trained tokens and its rows, an array of three rows of int64.
            rejected: the rejections of items, by their number, in order.
        """
        self.result.items, self.result.lengths = self.items, figures[0]
        start = 0
        for part, group in groupby(item.part for item in self.items):
            end = start + sum(1 for _ in group)
            some = figures[:, start:end]
            sums = dict(zip(("tokens", "trained", "samples"), some.sum(axis=1).tolist(), strict=True))
            sums["drawn"] = end - start
            if extra := int(np.count_nonzero(some[2] > 1)):
                add(self.result.counts, {"several": {"rows": extra, "samples": int(some[2][some[2] > 1].sum())}})
            if part.round == 0:
                failed = [number for number in rejected if start <= number < end]
                sums |= {"rows": end - start, "encoded": int(np.count_nonzero(some[2])), "rejected": len(failed)}
                for item, rejection in ((self.items[number], each) for number in failed for each in rejected[number]):
                    self.result.rejected.append(self._rejected_row(item, rejection))
                    count(self.result.counts, "reasons", rejection.reason)
            add(self.result.counts, {"sources": {self.context.name(part): sums}})
            start = end

    def _keep(self, rows: RowArrays, origins: Sequence[DrawnRow]) -> None:
        """Keep encoded rows with their origins."""
        for what in ("straddles", "escaped", "unknown"):
            amounts = getattr(rows, what)
            if amounts.any():
                count(self.result.counts, what, "rows", by=int((amounts > 0).sum()))
                count(self.result.counts, what, "tokens", by=int(amounts.sum()))
        self.result.tokens = len(rows.input_ids)
        columns, context = self.options.all_columns, self.context
        sources = [context.name(item.part) for item in origins] if "source" in columns else None
        places = None
        if "place" in columns:
            places = [context.place(item.part, item.raw.number, item.raw.line) for item in origins]
        self.result.block = RowBlock(rows, sources, places)

    def _rejected_row(self, item: DrawnRow, rejection: Rejection) -> dict[str, Any]:
        raw, source = item.raw, self.context.name(item.part)
        path = self.context.path(item.part)
        record: dict[str, Any] = {"file": path, "line": raw.line, "index": raw.number, "source": source}
        record |= asdict(rejection)
        if raw.text is None:
            return {**record, "row": raw.value}
        try:
            return {**record, "row": raw.text.decode("utf-8").rstrip("\r\n")}
        except UnicodeDecodeError:
            return {**record, "row": None, "row_base64": base64.b64encode(raw.text.rstrip(b"\r\n")).decode()}


def _number(item: DrawnRow) -> int:
    """Return the number of a row in its source."""
    return item.part.first + item.raw.number - item.part.chunk.first


def _trains(outcome: Row | Rejection) -> bool:
    return isinstance(outcome, Row) and bool(outcome.trained)


def _all_or_each(make: Callable[[Sequence[Any]], Sequence[_Made]], given: Sequence[Any]) -> list[_Made | Rejection]:
    """Encode all rows together; if that raises, one by one, so that one row does not stop the others."""
    made = attempt(make, given)
    return [attempt(lambda one: make([one])[0], one) for one in given] if isinstance(made, Rejection) else [*made]


# -- conversations


def read_conversation(raw: RawRow, source: MixtureSource, options: Options) -> Reading | Rejection:
    """Return the reading of a row with the kwargs of its source, or a `Rejection`."""
    if isinstance(raw.error, ChatTmplError):
        return Rejection(RejectionReason.JSON, raw.error.message, hint=raw.error.hint)
    return Rejection.from_error(raw.error) if raw.error else attempt(conversation_of, raw.value, source, options)


def conversation_of(record: Any, source: MixtureSource, options: Options) -> Reading:
    """Return the reading of a record with the kwargs of its source.

    Raises:
        ConversationError: it is not a conversation.
    """
    reading = read_record(record, source.shape or options.shape, arguments=options.arguments)
    kwargs = dict(source.chat_template_kwargs)
    if source.kwargs_from and isinstance(record, dict):
        columns = source.kwargs_from.items()
        kwargs |= {name: record[column] for name, column in columns if record.get(column) is not None}
        used = frozenset(source.kwargs_from.values())
        reading = replace(reading, notes=tuple(note for note in reading.notes if note.name not in used))
    if not kwargs:
        return reading
    value = reading.value
    own = value.get("chat_template_kwargs") if isinstance(value, dict) else value.chat_template_kwargs
    if own is not None and not isinstance(own, dict):
        return reading  # an error of the row, which its model reports
    kwargs |= {name: given for name, given in (own or {}).items() if given is not None}
    if isinstance(value, dict):
        return replace(reading, value={**value, "chat_template_kwargs": kwargs})
    return replace(reading, value=value.model_copy(update={"chat_template_kwargs": kwargs}))
