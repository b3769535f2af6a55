"""Preparation of conversations as a dataset that trl's ``SFTTrainer``, or another trainer, takes as it is."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

from chattmpl.data.encoder import UnreadDataWarning
from chattmpl.data.job.context import WorkerContext, add
from chattmpl.data.job.events import Counts
from chattmpl.data.job.options import Options, RejectionLimit, RowOptions
from chattmpl.data.job.plan import ShardPart
from chattmpl.data.job.shard import DrawnRow, encode_items
from chattmpl.data.lengths import best_fit
from chattmpl.data.mixture import Mixture, MixtureSource
from chattmpl.data.reading import WARNINGS, concerning, from_counts
from chattmpl.data.sources import Chunk, DataFile, RawRow
from chattmpl.data.template_notes import TemplateNoteKind
from chattmpl.data.writers import RowBlock, record_batch, schema
from chattmpl.encode import template_for
from chattmpl.errors import ConversationError, UsageError, did_you_mean
from chattmpl.template.template import Template

NAME = "dataset"
"""Name of the data in messages."""

_BATCH = 512


def prepare(
    dataset: Iterable[Any],
    template: Template | str | Path,
    tokenizer: Any,
    *,
    max_rejected: str | int = 0,
    **options: Unpack[RowOptions],
) -> Any:
    """Encode conversations into rows with ``input_ids``, and ``labels`` that are -100 where nothing is trained.

    The rows are those that ``chattmpl encode`` writes, but in memory and in this process.

    Args:
        dataset: ``datasets.Dataset``, or another iterable of conversations, in the shapes that
            `chattmpl.conversation.shapes` reads.
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        max_rejected: number of conversations, or share such as ``"1%"``, that may be rejected in whole or in part.
        **options: ``max_length`` (tokens) with ``overflow``, ``pack`` (tokens of a packed row), ``rows``, ``mask``,
            ``mask_from``, ``template_kwargs``, ``clock``, ``shape``, ``straddle``, ``control_tokens``, ``arguments``,
            ``columns`` and ``fast``; see `chattmpl.data.job.encode_dataset`.

    Returns:
        A ``datasets.Dataset``. Packed rows also have ``seq_lengths`` and ``position_ids``. An `UnreadDataWarning` names
        columns and other parts of the data that are not read.

    Raises:
        ConversationError: more conversations are rejected; the message is about the first.
        UsageError: an option is unknown or invalid.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    import pyarrow as pa
    from datasets import Dataset

    checked = row_options(options)
    blocks = encode_documents(dataset, template, tokenizer, checked, max_rejected)
    columns = checked.all_columns
    if checked.pack is None:
        batches = [record_batch(block, columns) for block in blocks]
    else:
        block = RowBlock.join(blocks)
        packs = best_fit(block.rows.lengths.tolist(), checked.pack)
        batches = [record_batch(block, columns, packs[at : at + _BATCH]) for at in range(0, len(packs), _BATCH)]
    return Dataset(pa.Table.from_batches(batches, schema(columns, packed=checked.pack is not None)))


def row_options(options: RowOptions) -> Options:
    """Check options that were passed as keyword arguments; raise `UsageError` if an option is unknown or invalid."""
    known = RowOptions.__annotations__
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f"the options are {', '.join(known)}"
            raise UsageError(f"prepare has no option {name!r}", option=name, hint=hint)
    return Options(**options)


def encode_documents(
    dataset: Iterable[Any],
    template: Template | str | Path,
    tokenizer: Any,
    options: Options,
    max_rejected: str | int = 0,
) -> list[RowBlock]:
    """Encode conversations into documents, which are not packed yet; see `prepare`."""
    context = _context(template, tokenizer, options)
    allowance = RejectionLimit.parse(max_rejected)
    blocks: list[RowBlock] = []
    refused: list[dict[str, Any]] = []
    count = 0
    counts: Counts = {}
    for items in _batches(dataset):
        result = encode_items(context, items)
        add(counts, result.counts)
        blocks += [result.block] if len(result.block) else []
        refused += result.rejected
        count += len(items)
    notes = from_counts(counts.get("reading", {}))
    for note, rows in concerning(notes, context.encoder.template, one_row=context.options.one_row):
        if note.kind in WARNINGS:
            warnings.warn(note.message(rows), UnreadDataWarning, stacklevel=3)
    if not blocks:
        for about in context.encoder.template_notes:
            if about.kind is TemplateNoteKind.NO_GENERATION:
                raise ConversationError("there are no rows to train on", hint=about.message())
    rejected = len({each["index"] for each in refused})
    if allowance.is_exceeded(rejected, count):
        raise _rejection_error(refused[0], rejected, count)
    if not blocks:
        raise ConversationError("there are no rows to train on", hint="the dataset is empty, or all of it was rejected")
    return blocks


def _rejection_error(first: dict[str, Any], rejected: int, count: int) -> ConversationError:
    place = f"{NAME}[{first['index']}]" + (f".{first['place']}" if first["place"] else "")
    hint = f"{first['hint']}; " if first["hint"] else ""
    return ConversationError(
        f"{rejected} of {count} conversations cannot be trained on; the first is {place}: {first['message']}",
        hint=f"{hint}set max_rejected to continue without them",
    )


def _context(template: Template | str | Path, tokenizer: Any, options: Options) -> WorkerContext:
    loaded = template_for(template, tokenizer)
    clock = options.clock
    if clock is None and loaded.reads_clock:
        clock = datetime.now().replace(microsecond=0)
    options = replace(options, clock=clock, template_kwargs=dict(options.template_kwargs))
    keep = ("message_index",) if "message_index" in options.columns else ()
    mixture = Mixture(sources=[MixtureSource(path=NAME, name=NAME)])
    context = WorkerContext.open(loaded, tokenizer, options, mixture, keep=keep)
    return replace(context, files=((DataFile(NAME, "arrow"),),))


def _batches(dataset: Iterable[Any]) -> Iterator[list[DrawnRow]]:
    """Yield the conversations in batches, as rows of a virtual file."""
    if isinstance(dataset, dict | str):
        kind = "a single conversation" if isinstance(dataset, dict) else "a string"
        raise UsageError(
            f"dataset must be conversations, not {kind}",
            hint="chattmpl.conversation.files.load_conversations reads files; put a single conversation into a list",
        )
    if not isinstance(dataset, Iterable):
        raise UsageError(
            f"dataset must be conversations, not {dataset!r:.80}",
            hint="pass a datasets.Dataset, or a list of conversations",
        )
    rows, part = enumerate(dataset), ShardPart(0, 0, Chunk(0, 0, 0, 0, 0, 0), 0)
    while batch := list(islice(rows, _BATCH)):
        yield [DrawnRow(RawRow(number, None, value), part) for number, value in batch]
