"""The encoder: conversations in, training rows out, in any process."""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chattmpl.budget import pause_gc
from chattmpl.conversation.notes import ReadingNote
from chattmpl.conversation.shapes import Reading, read_record
from chattmpl.data.exact_path import ExactPath
from chattmpl.data.fast.comparison import Sample, describe_difference, paired
from chattmpl.data.fast.markers import Unsupported, split_markers
from chattmpl.data.fast.rows import PreparedRow, prepare_row
from chattmpl.data.fast.tokens import PickledTokenizer, TokenizerHandle
from chattmpl.data.reading import WARNINGS, printed_notes
from chattmpl.data.row_facts import planner_of
from chattmpl.data.rows import EncodedBatch, Rejection, Row, RowArrays, attempt, join_batches
from chattmpl.data.template_notes import TemplateNote, TemplateWarning, template_notes
from chattmpl.encode import EncodeOptions, load_tokenizer, template_for
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.options import (
    Arguments,
    ControlTokenChoice,
    Fast,
    MaskChoice,
    MaskSource,
    RowChoice,
    StraddleChoice,
    check_options,
)
from chattmpl.template.template import now_of

# The parts of the fast path are imported where rows take it, for few rows do not.
if TYPE_CHECKING:
    from chattmpl.data.fast.path import FastBatch, FastPath
    from chattmpl.data.fast.verify import FastPathVerdict
    from chattmpl.data.sampled_rows import RowPlanner
    from chattmpl.template.template import Rendering

__all__ = ["EncodedBatch", "Encoder", "EncoderReport", "FastPathWarning", "Rejection", "Row", "TemplateWarning"]

COLUMNS = ("input_ids", "labels", "assistant_masks", "attention_mask", "length", "error")
KEEP = ("text", "generated", "message_index")

_BATCH = 512
"""Number of rows encoded together; larger batches are not faster, and these stay in the processor's cache."""

_EXACT_BATCH = 64
"""Number of rows that the exact path encodes together, whose texts are tokenized on all cores."""

_TAIL = 256
"""Number of bytes at the end of a text that decide whether its conversation is compared."""


class FastPathWarning(UserWarning):
    """The fast path is not used, or no longer used: rows come from the exact path, which is slower."""


class UnreadDataWarning(UserWarning):
    """A part of the data is not read, or is read under another name; each kind is reported once."""


@dataclass
class EncoderReport:
    """Counts of one encoder in one process.

    Attributes:
        rows: conversations that gave a row.
        fast: rows of the fast path, by renderer.
        exact: conversations that took the exact path, by reason.
        rejected: conversations that gave no row, by reason.
        checked: rows of the fast path that were compared with the exact one.
        disagreements: differences that were found.
        engine: the token engine of the fast path; None if there is no fast path.
        notes: parts of the fast path that are not used, and why.
        reading: number of conversations with each note on how they were read.
    """

    rows: int = 0
    fast: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    disagreements: list[str] = field(default_factory=list)
    engine: str | None = None
    notes: tuple[str, ...] = ()
    reading: Counter[ReadingNote] = field(default_factory=Counter)

    def add(self, other: EncoderReport) -> None:
        """Add the counts of another encoder, such as one in another process."""
        for name in ("rows", "fast", "exact", "rejected", "checked", "disagreements", "reading"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.engine = self.engine or other.engine
        self.notes = tuple(dict.fromkeys((*self.notes, *other.notes)))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        reading = {" ".join(filter(None, note)): rows for note, rows in self.reading.items()}
        counts = {name: dict(getattr(self, name)) for name in ("fast", "exact", "rejected")}
        lists = {name: list(getattr(self, name)) for name in ("disagreements", "notes")}
        return {**vars(self), **counts, **lists, "reading": reading}


class Encoder:
    """An encoder of conversations with one template, one tokenizer and one set of options.

    It is one picklable callable: pass it to ``datasets.Dataset.map(batched=True)`` or to Ray Data's ``map_batches``, or
    call it in an ``IterableDataset``. What it needs is loaded in the process that first calls it.

    Args:
        template: a `Template`, or what `Template.load` accepts.
        tokenizer: what `chattmpl.encode.load_tokenizer` accepts.
        fast: ``auto`` uses the fast path where it gives the same results as the exact path, and warns where there is
            none; ``require`` raises where there is none; ``off`` uses the exact path for all rows.
        straddle, control_tokens, mask: see `chattmpl.encode.encode`.
        rows: ``auto`` makes the fewest rows of a conversation in which each answer follows exactly the prompt that the
            model sees, ``one`` makes one row, and ``unroll`` one row per answer.
        mask_from: ``law`` trains what the model samples after each prompt, and uses generation tags only where they
            mark exactly that; ``tags`` makes one row, and trains what the tags mark.
        template_kwargs: variables of the template; they override a row's ``chat_template_kwargs``.
        labels: name of the column for the labels, if ``columns`` is not given.
        columns: columns of a batch: ``input_ids``, ``labels`` (-100 where not trained), ``assistant_masks``,
            ``attention_mask``, ``length``, ``error``. With ``error``, a conversation that cannot be encoded gives a row
            without tokens and with the reason; without it, no row.
        keep: optional attributes of a `Row`: ``text``, ``generated``, ``message_index`` (exact path only).
        arguments: ``decode`` parses arguments of tool calls that are a string of JSON; ``keep`` renders them as they
            are, as transformers does.
        clock: the time of ``strftime_now``: a datetime, or a callable that can be pickled; by default the time when the
            encoder was created, so that all rows agree.
        check_every: about one in this number of conversations of the fast path is compared with the exact path, with
            all of its rows. Which ones depends on their texts alone. 0 compares none.

    Raises:
        UsageError: an option does not exist, or the template does not read a template kwarg.
        TemplateError, EncodeError: the template or the tokenizer cannot be loaded.
    """

    def __init__(
        self,
        template: Any,
        tokenizer: Any,
        *,
        fast: Fast = "auto",
        straddle: StraddleChoice = "split",
        control_tokens: ControlTokenChoice = "escape",
        mask: MaskChoice = "all",
        rows: RowChoice = "auto",
        mask_from: MaskSource = "law",
        arguments: Arguments = "keep",
        template_kwargs: Mapping[str, Any] | None = None,
        labels: str = "labels",
        columns: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        clock: datetime | Callable[[], datetime] | None = None,
        check_every: int = 1000,
    ) -> None:
        self.template = template_for(template, tokenizer)
        self.fast: Fast = fast
        self.columns = tuple(columns) if columns is not None else ("input_ids", labels)
        self.keep = frozenset(keep)
        self.check_every = check_every
        self.arguments: Arguments = arguments
        self.kwargs = dict(template_kwargs or {})
        self.options: EncodeOptions = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
        self.rows: RowChoice = rows
        self.mask_from: MaskSource = mask_from
        self.tokenizer_source = tokenizer
        self._file_state = _file_state(tokenizer)
        self._clock = clock if clock is not None or not self.template.reads_clock else datetime.now()
        self._verdict: FastPathVerdict | None = None
        self._report = EncoderReport()
        self._samples: list[Sample] | None = None
        self._check_options()

    def _check_options(self) -> None:
        for what, given, known in (("column", self.columns, COLUMNS), ("attribute to keep", sorted(self.keep), KEEP)):
            for name in given:
                if name not in known:
                    hint = did_you_mean(str(name), known) or f"choose from {', '.join(known)}"
                    raise UsageError(f"there is no {what} {name!r}", hint=hint)
        # A wrong option is an error of the caller, not of the first row.
        check_options(
            fast=self.fast, arguments=self.arguments, rows=self.rows, mask_from=self.mask_from, **self.options
        )
        if self.rows == "unroll" and self.mask_from == "tags":
            message = "rows='unroll' needs mask_from='law': tags do not say where a prompt ends"
            raise UsageError(message, option="rows", hint="drop one of them")
        self.template.require_tokens(self.kwargs)
        self.template.check_kwargs({k: v for k, v in self.kwargs.items() if k not in ("tools", "documents")})

    # -- loading

    def __getstate__(self) -> dict[str, Any]:
        state = {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_exact", "_fast", "_handle", "_report")
        }
        if not isinstance(self.tokenizer_source, (str, Path)):
            adapted = load_tokenizer(self.tokenizer_source)
            if isinstance(adapted, FastTokenizer):
                state["tokenizer_source"] = PickledTokenizer(adapted.raw.to_str())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._report = EncoderReport()

    @cached_property
    def planner(self) -> RowPlanner | None:
        """The planner of rows; None where each conversation is one row that the generation tags mark."""
        return None if self.mask_from == "tags" else planner_of(self.template, self.rows)

    @property
    def _splits(self) -> bool:
        """True if each answer must follow the tokens that are sent to the model."""
        return self.options["straddle"] == "split" and self.rows == "auto" and self.mask_from == "law"

    @cached_property
    def _exact(self) -> ExactPath:
        _ = self.template_notes
        options = (self.options, self.keep, self.planner, self._splits)
        return ExactPath(self.template, self._handle.loaded, self.now, self.kwargs, *options)

    @cached_property
    def _handle(self) -> TokenizerHandle:
        if isinstance(self.tokenizer_source, PickledTokenizer):
            self.tokenizer_source = self.tokenizer_source.load()
        return TokenizerHandle(self.tokenizer_source)

    @cached_property
    def template_notes(self) -> tuple[TemplateNote, ...]:
        """The notes on the template, each of which was a warning when the encoder was first used."""
        trains = not {"labels", "assistant_masks"}.isdisjoint(self.columns)
        notes = tuple(template_notes(self.template, self._handle, trains=trains, mask_from=self.mask_from))
        for note in notes:
            warnings.warn(note.message(), TemplateWarning, stacklevel=4)
        return notes

    @cached_property
    def _fast(self) -> FastPath | None:
        """The checked fast path; None if there is none, after a warning."""
        if self.fast == "off":
            return None
        from chattmpl.data.fast.verify import FastPathOptions, open_fast_path

        _ = self.template_notes
        overrides = {name: value for name, value in self.kwargs.items() if value is not None}
        try:
            if "message_index" in self.keep:
                raise Unsupported("message_index needs the exact path")
            options = FastPathOptions(
                straddle=self.options["straddle"],
                control_tokens=self.options["control_tokens"],
                mask=self.options["mask"],
                overrides=overrides,
                planner=self.planner,
                splits=self._splits,
            )
            path, self._verdict = open_fast_path(
                self.template,
                self._handle,
                options,
                lambda record: self._exact.results(record),
                self.now,
                self._verdict,
            )
        except Unsupported as unsupported:
            self._report.notes = (str(unsupported),)
            if self.fast == "require":
                message = f"there is no fast path for {self.template.name} with this tokenizer: {unsupported}"
                raise UsageError(message, hint="fast='auto' uses the exact path instead") from None
            message = f"no fast path for {self.template.name}, all rows take the exact path: {unsupported}"
            warnings.warn(message, FastPathWarning, stacklevel=3)
            return None
        self._report.engine, self._report.notes = path.engine.name, self._verdict.notes
        return path

    def now(self) -> datetime:
        """Return the time of ``strftime_now``."""
        return now_of(self._clock)

    @property
    def tokenizer(self) -> TextTokenizer:
        """The loaded tokenizer; raise `EncodeError` if it cannot be loaded."""
        return self._exact.tokenizer

    def prepare(self) -> Encoder:
        """Load everything and check the fast path; the result of the check is pickled with the encoder.

        Raises:
            UsageError: ``fast`` is ``require`` and there is no fast path.
            EncodeError: the tokenizer cannot be loaded.
        """
        if self._fast is None:
            _ = self._exact
        return self

    def use_tokenizer(self, tokenizer: Any) -> None:
        """Use the same tokenizer from another place, in a process without access to the original file."""
        self.tokenizer_source = tokenizer
        for name in ("_exact", "_fast", "_handle"):
            self.__dict__.pop(name, None)

    def report(self) -> EncoderReport:
        """Return the counts of this encoder in this process."""
        return self._report

    # -- encoding

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Encode a batch of columns to a batch of columns.

        Args:
            batch: columns of equal length, named as in a dataset record: ``messages``, ``tools``, ``documents``,
                ``chat_template_kwargs``, or those of another shape that `parse_record` reads.
        """
        names = list(batch)
        columns = [_as_list(batch[name]) for name in names]
        records = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        return self._as_columns(self.encode_batch(records))

    def encode_many(self, conversations: Iterable[Any]) -> list[Row | Rejection]:
        """Return the rows of conversations, and a rejection for each that has none, in order.

        A conversation may have several rows, unless ``rows`` is ``one``.

        Args:
            conversations: `Conversation`s, records of any shape that `read_record` reads, or `Reading`s. An iterator
                that creates them one by one, as when lines are read, is fastest, since new objects are still in the
                cache.
        """
        results = self.encode_batch(conversations).in_order()
        return [row for result in results for row in ([result] if isinstance(result, Rejection) else result)]

    def encode_rows(self, conversations: Iterable[Any]) -> list[list[Row] | Rejection]:
        """Return the rows of each conversation, or its rejection, in order; see `encode_many`."""
        return self.encode_batch(conversations).in_order()

    def fitting_rows(self, conversation: Any, max_length: int) -> tuple[list[Row], list[int]]:
        """Return the rows of a conversation that have at most ``max_length`` tokens, and the turns that fit into none.

        The turns before one that does not fit are in another row. The turns are message indices.
        """
        return self._exact.fitting(conversation, max_length)

    def renderings(self, conversation: Any) -> list[Rendering]:
        """Return the rendering of each row of a conversation, without the rows that merging tokenizers need.

        Raises:
            ChatTmplError: it cannot be read or rendered.
        """
        return self._exact.renderings(conversation)

    def encode_batch(self, conversations: Iterable[Any]) -> EncodedBatch:
        """Return the rows of the conversations in a few arrays; see `encode_many`."""
        rest = map(self._read, conversations)
        parts: list[EncodedBatch] = []
        with pause_gc():
            while True:
                records: list[Any] = []
                part = islice(rest, _BATCH)
                encoded = self._encode_fast(part, records) if self._fast is not None else None
                if encoded is None:
                    records += part
                    if records or not parts:
                        encoded = self._encode_exact(records)
                if encoded is None or (parts and not encoded.count):
                    return join_batches(parts)
                self._report.rows += len(set(encoded.kept))
                self._report.rejected.update(rejection.reason for rejection in encoded.rejected.values())
                parts.append(encoded)
                if encoded.count < _BATCH:
                    return join_batches(parts)

    def _read(self, record: Any) -> Any:
        """Return a record as the encoder's paths take it, and count the notes on it; or its rejection."""
        if isinstance(record, Reading):
            return record.value
        reading = attempt(partial(read_record, arguments=self.arguments), record)
        if isinstance(reading, Rejection):
            return reading
        for note in reading.notes:
            new = note not in self._report.reading and note.kind in WARNINGS
            one_row = self.rows == "one" and self.options["mask"] != "last"
            for said in printed_notes(note, self.template, one_row=one_row) if new else ():
                warnings.warn(said.message(), UnreadDataWarning, stacklevel=4)
            self._report.reading[note] += 1
        return reading.value

    def _encode_exact(self, records: Sequence[Any]) -> EncodedBatch:
        rows, rejected = self._encode_each(dict(enumerate(records)))
        self._report.exact["all rows"] += len(records)
        return EncodedBatch(len(records), [], RowArrays.of([], self.keep), rejected).with_rows(rows, self.keep)

    def _encode_each(self, records: Mapping[int, Any]) -> tuple[dict[int, list[Row]], dict[int, Rejection]]:
        """Encode records by the exact path; return the rows and the rejections, each by the number of its record."""
        results: list[list[Row] | Rejection] = []
        rest = iter(records.values())
        while group := list(islice(rest, _EXACT_BATCH)):
            results += self._exact.encode(group)
        rows = {index: result for index, result in zip(records, results, strict=True) if isinstance(result, list)}
        others = zip(records, results, strict=True)
        return rows, {index: result for index, result in others if isinstance(result, Rejection)}

    def _encode_fast(self, given: Iterable[Any], records: list[Any]) -> EncodedBatch | None:
        """Encode by the fast path, and deferred rows by the exact path; None if the fast path proves wrong.

        Args:
            given: the records.
            records: a list to fill with them.
        """
        path = self._fast
        assert path is not None
        prepared: list[PreparedRow | None] = []
        broken: list[Exception] = []

        def prepared_rows() -> Iterator[PreparedRow | None]:
            for record in _until_broken(given, broken):
                row = attempt(prepare_row, record)
                records.append(record)
                # The exact path reports properly why a row cannot be read.
                prepared.append(None if isinstance(row, Rejection) else row)
                yield prepared[-1]

        batch = attempt(path.encode, prepared_rows())
        if broken:
            raise broken[0]
        if isinstance(batch, Rejection) or not self._agrees(batch, records):
            return None
        batch.deferred.update((index, "cannot be read") for index, row in enumerate(prepared) if row is None)
        deferred = {}
        for index in batch.deferred:
            row = prepared[index]
            deferred[index] = (row and row.conversation) or records[index]
        rows, rejected = self._encode_each(deferred)
        self._report.fast.update(batch.rendered_by)
        self._report.exact.update(batch.deferred.values())
        extras = [self._extras(batch.text(place)) for place in range(len(batch.rows))] if self.keep else ()
        encoded = EncodedBatch(len(records), batch.rows, replace(batch.arrays, extras=extras), rejected)
        return encoded.with_rows(rows, self.keep) if rows else encoded

    def _extras(self, text: str) -> dict[str, Any]:
        plain, generated = split_markers(text)
        return {name: plain if name == "text" else generated for name in self.keep}

    def _agrees(self, batch: FastBatch, records: Sequence[Any]) -> bool:
        """Compare a sample of the rows with the exact path; if they differ, drop the fast path."""
        if not self.check_every:
            return True
        tails = batch.tails(_TAIL)
        sample = []
        for row, group in groupby(range(len(batch.rows)), key=batch.rows.__getitem__):
            places = list(group)
            if not zlib.crc32(tails[places[0]]) % self.check_every:
                sample.append(Sample(records[row], [(batch.text(each), *batch.tokens(each)) for each in places]))
                self._report.checked += len(places)
        if self._samples is not None:
            self._samples += sample
            return True
        if (difference := self._difference(sample)) is None:
            return True
        self._report.disagreements.append(difference)
        self.__dict__["_fast"] = None
        message = f"the fast path gave a wrong result, all rows take the exact path from now on: {difference}"
        warnings.warn(message, FastPathWarning, stacklevel=5)
        return False

    def _difference(self, samples: Iterable[Sample]) -> str | None:
        """Compare records with the exact path, and describe the first difference; None if there is none."""
        for record, rows in samples:
            exact = attempt(self._exact.results, record)
            for expected, row in paired(None if isinstance(exact, Rejection) else exact, rows):
                if difference := describe_difference(expected, *row):
                    return difference
        return None

    def hand_over_samples(self) -> list[Sample]:
        """Return the rows to compare since the last call; from the first call on, `confirms` of another process does.

        A comparison needs the tokenizer of the exact path, which takes as long to load as many rows take to encode.
        """
        samples, self._samples = self._samples or [], []
        return samples

    def confirms(self, samples: Iterable[Sample]) -> bool:
        """Return true if the fast path was never wrong in this process, and not in these rows of another one."""
        return not self._report.disagreements and self._difference(samples) is None

    def _as_columns(self, encoded: EncodedBatch) -> dict[str, list[Any]]:
        """Return the requested columns."""
        rows = encoded.rows
        columns: dict[str, list[Any]] = {}
        for column in self.columns:
            if column == "input_ids":
                columns[column] = rows.split(rows.input_ids)
            elif column == "labels":
                columns[column] = rows.split(rows.labels())
            elif column == "assistant_masks":
                columns[column] = rows.split(rows.mask.astype(np.int8))
            elif column == "attention_mask":
                columns[column] = rows.split(np.ones(len(rows.mask), dtype=np.int8))
            elif column == "length":
                columns[column] = rows.lengths.tolist()
        return _with_errors(columns, encoded) if "error" in self.columns else columns


def _file_state(tokenizer: Any) -> tuple[int, int] | None:
    """Return size and time of a tokenizer's file, for caches keyed by the pickled encoder."""
    if not isinstance(tokenizer, (str, Path)) or not Path(tokenizer).exists():
        return None
    stat = Path(tokenizer).stat()
    return stat.st_size, stat.st_mtime_ns


def _with_errors(columns: dict[str, list[Any]], encoded: EncodedBatch) -> dict[str, list[Any]]:
    """Return the columns with a row for each rejected conversation, without tokens and with the reason."""
    order = sorted(
        [*((index, row) for row, index in enumerate(encoded.kept)), *((index, -1) for index in encoded.rejected)]
    )
    full: dict[str, list[Any]] = {}
    for name, values in columns.items():
        dtype = values[0].dtype if values and name != "length" else np.int32
        nothing: Any = 0 if name == "length" else np.zeros(0, dtype=dtype)
        full[name] = [nothing if row < 0 else values[row] for _, row in order]
    reasons = {index: f"{rejection.reason}: {rejection.message}" for index, rejection in encoded.rejected.items()}
    full["error"] = [reasons.get(index) for index, _ in order]
    return full


def _until_broken(given: Iterable[Any], broken: list[Exception]) -> Iterator[Any]:
    """Yield the items of an iterable; if it raises, end and append the error, which is not that of a row."""
    try:
        yield from given
    except Exception as error:
        broken.append(error)


def _as_list(column: Any) -> Any:
    """Return a column as plain data; columns of Ray and numpy contain arrays of arrays."""
    if not callable(getattr(column, "tolist", None)):
        return column
    return [_plain_or_unchanged(value) for value in column.tolist()]


def _plain_or_unchanged(value: Any) -> Any:
    """Return a value as plain data; one that is nested too deeply is unchanged, and its row is rejected later."""
    plain = attempt(_plain, value)
    return value if isinstance(plain, Rejection) else plain


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is list:
        return [_plain(item) for item in value]
    return [_plain(item) for item in value.tolist()] if getattr(value, "ndim", 0) else value
