"""The work on one shard: its rows are read, encoded, fitted, packed and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from chattmpl.budget import pause_gc
from chattmpl.data.job.batch import Batch, Item, Result
from chattmpl.data.job.counters import Counts, add
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Shard
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.mixture import EVERY, keys
from chattmpl.data.pack import best_fit, rows_needed
from chattmpl.data.sources import load, rows
from chattmpl.data.writers import Document, TableWriter, record_batch, record_batch_of, schema, write_json, write_lines

BATCH = 512
"""Rows that are encoded at once."""

ROW_GROUP_TOKENS = 1 << 20
"""Tokens, about, that are written at once."""

TRL_WINDOW = 1000
"""Rows that ``datasets.map``, and so trl, packs at a time."""


def work(setup: Setup, shard: Shard, payloads: Sequence[bytes | None]) -> Counts:
    """Encodes a shard and writes its files; the counts are returned too."""
    data, rejected, done = setup.paths(shard.number)
    options = setup.options
    packed = options.pack is not None
    columns = options.all_columns
    counts: Counts = {}
    refused: list[dict[str, Any]] = []
    waiting: list[Result] = []
    before = setup.report()
    with TableWriter(data, options.form, schema(columns, packed=packed)) as writer:
        for result in encoded(setup, shard, payloads):
            add(counts, result.counts)
            refused += result.refused
            waiting.append(result)
            if not packed and sum(some.tokens for some in waiting) >= ROW_GROUP_TOKENS:
                _write(writer, waiting, options)
                waiting = []
        if packed:
            _write_packed(writer, [document for result in waiting for document in result.documents], options, counts)
        else:
            _write(writer, waiting, options)
    add(counts, {"paths": _less(setup.report(), before)})
    write_lines(rejected, refused)
    write_json(done, counts)
    return counts


def _less(after: Counts, before: Counts) -> Counts:
    """What was counted since."""
    less: Counts = {}
    for name, value in after.items():
        earlier = before.get(name)
        if isinstance(value, dict):
            less[name] = _less(value, earlier or {})
        elif value != (earlier or 0):
            less[name] = value - (earlier or 0)
    return less


def _write(writer: TableWriter, results: Sequence[Result], options: Options) -> None:
    """Writes the samples of some results, if there are any."""
    if not any(result.tokens for result in results):
        return
    columns = options.all_columns
    blocks = [result.block for result in results if result.block is not None]
    if len(blocks) == len(results):
        writer.write(record_batch_of(blocks, columns))
        return
    documents = [document for result in results for document in result.documents]
    writer.write(record_batch([[document] for document in documents], columns, packed=False))


def _write_packed(writer: TableWriter, documents: list[Document], options: Options, counts: Counts) -> None:
    size = options.pack or 0
    lengths = [len(document.sample) for document in documents]
    packs = best_fit(lengths, size)
    pack_counts = {"rows": len(packs), "documents": len(documents), "tokens": sum(lengths)}
    add(counts, {"pack": {**pack_counts, "trl_rows": rows_needed(lengths, size, TRL_WINDOW)}})
    step = max(1, ROW_GROUP_TOKENS // size)
    for first in range(0, len(packs), step):
        some = [[documents[index] for index in row] for row in packs[first : first + step]]
        writer.write(record_batch(some, options.all_columns, packed=True))


def measure(setup: Setup, shard: Shard, payloads: Sequence[bytes | None]) -> list[tuple[int, int, int]]:
    """Encodes a shard and tells, for each row, its source, its number there, and how many tokens it gives."""
    return [length for result in encoded(setup, shard, payloads) for length in result.lengths]


def encoded(setup: Setup, shard: Shard, payloads: Sequence[bytes | None]) -> Iterator[Result]:
    """The results of a shard's rows, some rows at a time."""
    items = drawn(setup, shard, payloads)
    while (result := _result(setup, items)) is not None:
        yield result


def _result(setup: Setup, items: Iterator[Item]) -> Result | None:
    """The result of the next rows; None if there are none."""
    with pause_gc():
        some = list(islice(items, BATCH))
        return Batch(setup, some).run() if some else None


def drawn(setup: Setup, shard: Shard, payloads: Sequence[bytes | None]) -> Iterator[Item]:
    """The rows of a shard that are taken."""
    for part, payload in zip(shard.parts, payloads, strict=True):
        file, piece = setup.files[part.source][part.file], part.piece
        chosen = None
        if part.below != EVERY:
            chosen = keys(setup.seed, setup.sources[part.source].name, part.first, piece.rows) < np.uint64(part.below)
        data = load(file, piece) if payload is None else payload
        for number, raw in enumerate(islice(rows(data, piece, file), piece.rows)):
            if chosen is None or chosen[number]:
                yield Item(raw, part)
