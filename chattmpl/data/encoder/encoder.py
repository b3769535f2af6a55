"""The encoder: conversations in, training rows out, wherever it is called."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from chattmpl.budget import pause_gc
from chattmpl.data.encoder.batches import as_list, with_errors
from chattmpl.data.encoder.encoded_batch import Encoded, concatenate, merged, of_rows
from chattmpl.data.encoder.exact_path import ExactPath
from chattmpl.data.encoder.report import Report
from chattmpl.data.encoder.row import Rejected, Row
from chattmpl.data.fast import Choices, FastBatch, FastPath, Prepared, Unfit, Verdict, open_fast_path, prepare
from chattmpl.data.fast.check import joined, read_spans
from chattmpl.data.fast.markers import CLOSE, OPEN
from chattmpl.encode import ControlTokenChoice, EncodeOptions, MaskChoice, StraddleChoice, encode, load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.errors import ChatTmplError, UsageError, did_you_mean
from chattmpl.template.template import Template

Fast = Literal["auto", "require", "off"]

COLUMNS = ("input_ids", "labels", "assistant_masks", "attention_mask", "length", "error")
KEEP = ("text", "generated", "message_index")

_BATCH = 512
"""Rows that are encoded together: more than that no longer makes a difference, and they stay in the cache."""


_TAIL = 256
"""Bytes at the end of a text by which rows are chosen for a comparison."""


class FastPathWarning(UserWarning):
    """The fast path is not used, or not any more: rows come from the exact path, which is slower."""


class Encoder:
    """Encodes conversations with one template and one tokenizer, always the same way.

    It is one picklable callable: pass it to ``datasets.Dataset.map(batched=True)``, to Ray Data's ``map_batches``, or
    call it in an ``IterableDataset``. What it needs is loaded where it is first called.

    Args:
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        fast: ``auto`` takes the fast path where it gives what the exact one gives, and warns where there is none;
            ``require`` raises where there is none; ``off`` takes the exact path for all rows.
        straddle, control_tokens, mask: see `chattmpl.encode.encode`.
        template_kwargs: variables of the template, over those that a row brings in ``chat_template_kwargs``.
        labels: the column that says what is trained, if ``columns`` does not say.
        columns: the columns of a batch, of ``input_ids``, ``labels`` (-100 where not trained), ``assistant_masks``,
            ``attention_mask``, ``length`` and ``error``. With ``error``, a conversation that cannot be encoded gives a
            row without tokens that says why; without, it gives none.
        keep: what a `Row` has besides tokens and mask: ``text``, ``generated``, ``message_index`` (which only the exact
            path tells).
        clock: what ``strftime_now`` tells, a datetime or a callable that can be pickled; the time when the encoder was
            made if None, so that all rows agree.
        check_every: about one row in so many of the fast path is encoded by the exact path as well, to compare; which
            ones depends on their texts alone. 0 for none.

    Raises:
        UsageError: for an option that does not exist, or a template kwarg that the template does not read.
        TemplateError, EncodeError: if the template or the tokenizer cannot be loaded.
    """

    def __init__(
        self,
        template: Any,
        tokenizer: Any,
        *,
        fast: Fast = "auto",
        straddle: StraddleChoice = "include",
        control_tokens: ControlTokenChoice = "escape",
        mask: MaskChoice = "all",
        template_kwargs: Mapping[str, Any] | None = None,
        labels: str = "labels",
        columns: Sequence[str] | None = None,
        keep: Sequence[str] = (),
        clock: datetime | Callable[[], datetime] | None = None,
        check_every: int = 1000,
    ) -> None:
        self.template = template if isinstance(template, Template) else Template.load(template)
        self.fast: Fast = fast
        self.columns = tuple(columns) if columns is not None else ("input_ids", labels)
        self.keep = frozenset(keep)
        self.check_every = check_every
        self.kwargs = dict(template_kwargs or {})
        self.options: EncodeOptions = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
        self._tokenizer = tokenizer
        self._stamp = _stamp(tokenizer)
        reads_clock = "strftime_now" in self.template.source
        self._clock = clock if clock is not None or not reads_clock else datetime.now()
        self._verdict: Verdict | None = None
        self._counts = Report()
        self._check()

    def _check(self) -> None:
        for what, given, known in (
            ("way to be fast", (self.fast,), ("auto", "require", "off")),
            ("column", self.columns, COLUMNS),
            ("thing to keep", sorted(self.keep), KEEP),
        ):
            for name in given:
                if name not in known:
                    hint = did_you_mean(str(name), known) or f"known are {', '.join(known)}"
                    raise UsageError(f"there is no {what} {name!r}", hint=hint)
        # A mistake in the options is one of the caller, not of the first row.
        self.template.check_kwargs({k: v for k, v in self.kwargs.items() if k not in ("tools", "documents")})
        example = self.template.__class__.from_source("x").render([{"role": "user", "content": "x"}])
        options: EncodeOptions = {**self.options, "mask": "all"}
        encode(example, "demo", **options)

    # -- what is loaded where it is needed

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("_exact", "_fast", "_counts")}
        if not isinstance(self._tokenizer, (str, Path)):
            adapted = load_tokenizer(self._tokenizer)
            if isinstance(adapted, FastTokenizer):
                state["_tokenizer"] = _Definition(adapted.raw.to_str())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._counts = Report()

    @cached_property
    def _exact(self) -> ExactPath:
        tokenizer = self._tokenizer
        if isinstance(tokenizer, _Definition):
            tokenizer = self._tokenizer = tokenizer.load()
        adapted = load_tokenizer(tokenizer)
        return ExactPath(self.template, adapted, self._now, self.kwargs, self.options, self.keep)

    @cached_property
    def _fast(self) -> FastPath | None:
        """The fast path, checked; None if there is none, which was said."""
        if self.fast == "off":
            return None
        exact = self._exact
        overrides = {name: value for name, value in self.kwargs.items() if value is not None}
        try:
            if "message_index" in self.keep:
                raise Unfit("message_index is told by the exact path only")
            choices = Choices(
                straddle=self.options["straddle"],
                control_tokens=self.options["control_tokens"],
                mask=self.options["mask"],
                overrides=overrides,
            )
            path, self._verdict = open_fast_path(
                self.template, exact.tokenizer, choices, exact.plainly, self._now, self._verdict
            )
        except Unfit as unfit:
            self._counts.notes = (str(unfit),)
            if self.fast == "require":
                message = f"there is no fast path for {self.template.name} with this tokenizer: {unfit}"
                raise UsageError(message, hint="fast='auto' takes the exact path instead") from None
            message = f"no fast path for {self.template.name}, so all rows take the exact one: {unfit}"
            warnings.warn(message, FastPathWarning, stacklevel=3)
            return None
        self._counts.engine, self._counts.notes = path.engine.name, self._verdict.notes
        return path

    def _now(self) -> datetime:
        clock = self._clock
        if clock is None:
            return datetime.now()
        return clock() if callable(clock) else clock

    def prepare(self) -> Encoder:
        """Loads all that is needed and checks the fast path, whose verdict travels with the pickled encoder.

        Raises:
            UsageError: if there is no fast path and ``fast`` is ``require``.
            EncodeError: if the tokenizer cannot be loaded.
        """
        if self._fast is None:
            _ = self._exact
        return self

    def use_tokenizer(self, tokenizer: Any) -> None:
        """Takes the same tokenizer from another place, where the file that it was made with is not at hand."""
        self._tokenizer = tokenizer
        self.__dict__.pop("_exact", None)
        self.__dict__.pop("_fast", None)

    def report(self) -> Report:
        """What this encoder did so far in this process."""
        return self._counts

    # -- encoding

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """A batch of columns as a batch of columns.

        Args:
            batch: columns of equal length, named as a record of a data set is: ``messages``, ``tools``,
                ``documents``, ``chat_template_kwargs``, or those of another shape that `chattmpl.loaders` knows.
        """
        names = list(batch)
        columns = [as_list(batch[name]) for name in names]
        records = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        encoded = self.encode_columns(records)
        return self._batch(encoded)

    def encode_many(self, conversations: Iterable[Any]) -> list[Row | Rejected]:
        """A row or a rejection for each conversation, in order.

        Args:
            conversations: records of any shape that `chattmpl.loaders` knows, or `Conversation`s. An iterator that
                makes them one by one, as when lines are read, is the fastest, for what was just made is at hand.
        """
        return self.encode_columns(conversations).in_order()

    def encode_columns(self, conversations: Iterable[Any]) -> Encoded:
        """The rows of the conversations as few arrays; see `encode_many`."""
        rest = iter(conversations)
        parts: list[Encoded] = []
        with pause_gc():
            while True:
                records: list[Any] = []
                part = islice(rest, _BATCH)
                encoded = self._by_fast_path(part, records) if self._fast is not None else None
                if encoded is None:
                    records += part
                    if records or not parts:
                        encoded = self._by_exact_path(records)
                if encoded is None or (parts and not encoded.count):
                    return concatenate(parts)
                self._counts.rows += len(encoded)
                self._counts.rejected.update(rejected.reason for rejected in encoded.rejected.values())
                parts.append(encoded)
                if encoded.count < _BATCH:
                    return concatenate(parts)

    def _by_exact_path(self, records: Sequence[Any]) -> Encoded:
        rows: dict[int, Row] = {}
        rejected: dict[int, Rejected] = {}
        for index, record in enumerate(records):
            self._exactly(index, record, rows, rejected)
        self._counts.exact["all rows"] += len(records)
        return of_rows(len(records), rows, rejected, self.keep)

    def _exactly(self, index: int, record: Any, rows: dict[int, Row], rejected: dict[int, Rejected]) -> None:
        try:
            rows[index] = self._exact.encode(record)
        except UsageError:
            raise
        except ChatTmplError as error:
            rejected[index] = Rejected.because(error)
        except Exception as error:  # one row must not stop all others, whatever is wrong with it or with us
            rejected[index] = Rejected("error", f"{type(error).__name__}: {error}")

    def _by_fast_path(self, some: Iterable[Any], records: list[Any]) -> Encoded | None:
        """The rows by the fast path, and where it is not sure by the exact one; None if it turned out to be wrong.

        Args:
            some: the records.
            records: is filled with them.
        """
        path = self._fast
        assert path is not None
        rows: dict[int, Row] = {}
        rejected: dict[int, Rejected] = {}
        prepared: list[Prepared | None] = []

        def ready() -> Iterator[Prepared | None]:
            for record in some:
                try:
                    row = prepare(record)
                except Exception:  # the exact path says what is wrong
                    row = None
                records.append(record)
                prepared.append(row)
                yield row

        batch = path.encode(ready())
        if not self._agrees(batch, records):
            return None
        batch.left.update((index, "cannot be read") for index, row in enumerate(prepared) if row is None)
        for index in batch.left:
            row = prepared[index]
            self._exactly(index, (row and row.conversation) or records[index], rows, rejected)
        self._counts.fast.update(batch.rendered_by)
        self._counts.exact.update(batch.left.values())
        return self._merged(len(records), batch, rows, rejected)

    def _merged(self, count: int, batch: FastBatch, rows: dict[int, Row], rejected: dict[int, Rejected]) -> Encoded:
        import numpy as np

        extras = [self._extras(batch.text(place)) for place in range(len(batch.rows))] if self.keep else ()
        escaped = np.zeros(len(batch.rows), dtype=np.int64)
        fast = Encoded(
            count, batch.rows, batch.ids, batch.mask, batch.offsets, batch.straddles, escaped, rejected, extras
        )
        return merged(fast, of_rows(count, rows, {}, self.keep)) if rows else fast

    def _extras(self, text: str) -> dict[str, Any]:
        plain, generated = read_spans(text)
        return {name: plain if name == "text" else generated for name in self.keep}

    def _agrees(self, batch: FastBatch, records: Sequence[Any]) -> bool:
        """Whether a sample of the rows is what the exact path gives; if not, there is no fast path any more."""
        if not self.check_every:
            return True
        chosen = [place for place, tail in enumerate(batch.tails(_TAIL)) if not zlib.crc32(tail) % self.check_every]
        for place in chosen:
            self._counts.checked += 1
            index, text = batch.rows[place], batch.text(place)
            start, end = batch.offsets[place], batch.offsets[place + 1]
            said = self._difference(records[index], text, batch.ids[start:end].tolist(), batch.mask[start:end].tolist())
            if said is not None:
                self._counts.disagreements.append(said)
                self.__dict__["_fast"] = None
                message = f"the fast path was wrong, and all rows take the exact one from here on: {said}"
                warnings.warn(message, FastPathWarning, stacklevel=5)
                return False
        return True

    def _difference(self, record: Any, text: str, ids: list[int], mask: list[int]) -> str | None:
        try:
            exact_text, generated, exact_ids, exact_mask = self._exact.plainly(record)
        except ChatTmplError as error:
            return f"it encoded what the exact path refuses ({error.message})"
        plain, spans = read_spans(text)
        for what, fast, exact in (
            ("text", plain, exact_text),
            ("generated spans", spans, joined(generated)),
            ("ids", ids, exact_ids),
            ("mask", mask, exact_mask),
        ):
            if fast != exact:
                return f"another {what}, in a row that begins with {text[:40].replace(OPEN, '').replace(CLOSE, '')!r}"
        return None

    def _batch(self, encoded: Encoded) -> dict[str, list[Any]]:
        """The columns that were asked for."""
        import numpy as np

        made: dict[str, list[Any]] = {}
        for column in self.columns:
            if column == "input_ids":
                made[column] = encoded.split(encoded.input_ids)
            elif column == "labels":
                made[column] = encoded.split(encoded.labels())
            elif column == "assistant_masks":
                made[column] = encoded.split(encoded.mask.astype(np.int8))
            elif column == "attention_mask":
                made[column] = encoded.split(np.ones(len(encoded.mask), dtype=np.int8))
            elif column == "length":
                made[column] = encoded.lengths.tolist()
        if "error" not in self.columns:
            return made
        return with_errors(made, encoded)


class _Definition:
    """A tokenizer's definition, as it is pickled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def load(self) -> Any:
        """The tokenizer."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.text)


def _stamp(tokenizer: Any) -> tuple[int, int] | None:
    """What tells two states of a tokenizer's file apart, for caches that go by the pickled encoder."""
    if not isinstance(tokenizer, (str, Path)) or not Path(tokenizer).exists():
        return None
    stat = Path(tokenizer).stat()
    return stat.st_size, stat.st_mtime_ns
