"""From conversations to the data set that trl's SFTTrainer, or any other trainer, takes as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.data.job.batch import Batch, Item
from chattmpl.data.job.factory import encoder_of, prompts_of
from chattmpl.data.job.options import Allowance, Options
from chattmpl.data.job.plan import Part
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.mixture import Source
from chattmpl.data.pack import best_fit
from chattmpl.data.sources import DataFile, Piece, RawRow
from chattmpl.data.writers import Document, record_batch, schema
from chattmpl.errors import ConversationError, UsageError
from chattmpl.template.template import Template

NAME = "dataset"
"""What messages call the data."""

_BATCH = 512


def prepare(
    dataset: Iterable[Any], template: Any, tokenizer: Any, *, max_rejected: str | int = 0, **options: Any
) -> Any:
    """The rows that a trainer takes as they are: ``input_ids``, and ``labels`` with -100 where nothing is trained.

    What ``chattmpl encode`` writes into files, in memory and in this process.

    Args:
        dataset: a ``datasets.Dataset``, or any other iterable of conversations, in the shapes that `chattmpl.loaders`
            knows.
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        max_rejected: how many conversations may give no row, or not all that they hold: a number, or a part of all
            as in ``"1%"``.
        **options: those of `chattmpl.data.job.encode` that concern rows: ``max_length`` (tokens) with ``overflow``,
            ``unroll``, ``pack`` (tokens of a packed row), ``mask``, ``template_kwargs``, ``clock``, ``shape``,
            ``straddle``, ``control_tokens``, ``columns`` and ``fast``.

    Returns:
        A ``datasets.Dataset``. Packed rows have ``seq_lengths`` and ``position_ids`` too.

    Raises:
        ConversationError: if more conversations than that are rejected; it tells the first.
        UsageError: for an option that does not exist.
        TemplateError, EncodeError: if the template or the tokenizer cannot be used.
    """
    import pyarrow as pa
    from datasets import Dataset

    chosen = options_of(options)
    documents = encoded(dataset, template, tokenizer, chosen, max_rejected)
    packed = chosen.pack is not None
    rows = [[document] for document in documents]
    if chosen.pack is not None:
        packs = best_fit([len(document.sample) for document in documents], chosen.pack)
        rows = [[documents[index] for index in pack] for pack in packs]
    columns = chosen.all_columns
    batches = [record_batch(rows[at : at + _BATCH], columns, packed=packed) for at in range(0, len(rows), _BATCH)]
    return Dataset(pa.Table.from_batches(batches, schema(columns, packed=packed)))


def options_of(options: dict[str, Any]) -> Options:
    """The options, checked.

    Raises:
        UsageError: there is no such option, or it does not fit another one.
    """
    from chattmpl.errors import did_you_mean

    known = [name for name in Options.__dataclass_fields__ if name not in ("form", "seed", "limit")]
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise UsageError(f"there is no option {name!r} for preparing rows", hint=hint)
    return Options(**options)


def encoded(
    dataset: Iterable[Any], template: Any, tokenizer: Any, options: Options, max_rejected: str | int = 0
) -> list[Document]:
    """The documents of conversations, before they are packed; see `prepare`."""
    setup = _setup(template, tokenizer, options)
    allowance = Allowance.parse(max_rejected)
    documents: list[Document] = []
    refused: list[dict[str, Any]] = []
    count = 0
    for items in _batches(dataset):
        result = Batch(setup, items).run()
        documents += result.documents
        refused += result.refused
        count += len(items)
    rejected = len({each["index"] for each in refused})
    if allowance.exceeded(rejected, count):
        raise _refusal(refused[0], rejected, count)
    if not documents:
        raise ConversationError("there is no row to train on", hint="the data set is empty, or all of it was rejected")
    return documents


def _refusal(first: dict[str, Any], rejected: int, count: int) -> ConversationError:
    where = f"{NAME}[{first['index']}]" + (f".{first['place']}" if first["place"] else "")
    way = f"{first['hint']}; " if first["hint"] else ""
    return ConversationError(
        f"{rejected} of {count} conversations cannot be trained on; the first is {where}: {first['message']}",
        hint=f"{way}max_rejected allows for some",
    )


def _setup(template: Any, tokenizer: Any, options: Options) -> Setup:
    loaded = template if isinstance(template, Template) else Template.load(template)
    clock = options.clock
    if clock is None and "strftime_now" in loaded.source:
        clock = datetime.now().replace(microsecond=0)
    options = replace(options, clock=clock, template_kwargs=dict(options.template_kwargs))
    keep = ("message_index",) if "message_index" in options.columns else ()
    encoder, prompts = encoder_of(loaded, tokenizer, options, keep), prompts_of(loaded, tokenizer, options)
    files = ((DataFile(NAME, "arrow"),),)
    return Setup(encoder, options, (Source(path=NAME, name=NAME),), files, 0, Path(), prompts)


def _batches(dataset: Iterable[Any]) -> Iterator[list[Item]]:
    """The conversations as rows of a file that is not there, some at a time."""
    if isinstance(dataset, dict | str):
        kind = "one conversation" if isinstance(dataset, dict) else "a text"
        raise UsageError(
            f"prepare takes conversations, not {kind}",
            hint="chattmpl.conversation.files.load_conversations reads files; put one conversation into a list",
        )
    if not isinstance(dataset, Iterable):
        raise UsageError(
            f"prepare takes conversations, not {dataset!r:.80}",
            hint="give a datasets.Dataset, or a list of conversations",
        )
    rows = enumerate(dataset)
    while some := list(islice(rows, _BATCH)):
        yield [_item(number, value) for number, value in some]


def _item(number: int, value: Any) -> Item:
    if isinstance(value, Conversation):
        value = value.dump()
    elif isinstance(value, list):
        value = {"messages": value}
    return Item(RawRow(number, None, value), Part(0, 0, Piece(0, 0, 0, 0, 0, 0), 0))
