"""Audit of the batches of a built trainer: what they supervise, compared with what the template marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Unpack

from chattmpl.data.job.options import RowOptions
from chattmpl.encode.encoding import IGNORE_INDEX
from chattmpl.errors import ChatTmplError
from chattmpl.laws.outcome import first_difference
from chattmpl.template.template import Template
from chattmpl.training.adapter.completions import decode
from chattmpl.training.adapter.prepare import encode_documents, row_options

_AROUND = 12
"""Number of tokens shown on either side of a difference."""


class BatchAuditError(ChatTmplError):
    """A trainer that would supervise other tokens than the template marks."""


class BatchDocument(NamedTuple):
    """A document as the model receives it: its tokens, and True for each that is supervised.

    The first token never is: no token of the document precedes it.
    """

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]


@dataclass(frozen=True)
class BatchAudit:
    """The result of an audit that found no difference.

    Attributes:
        documents: number of conversations, or parts of them, in the batches.
        tokens: number of their tokens.
        supervised: number of supervised tokens.
        missing: number of documents in no batch; 0 unless the last batch is dropped or only some are audited.
        first: the first document as text, with supervised text between ⟦ and ⟧.
    """

    batches: int
    documents: int
    tokens: int
    supervised: int
    missing: int
    first: str

    @classmethod
    def combined(cls, audits: Sequence[BatchAudit]) -> BatchAudit:
        """Return the sum of the audits of several processes; documents missing from one may be in another."""
        names = ("batches", "documents", "tokens", "supervised")
        sums = {name: sum(getattr(audit, name) for audit in audits) for name in names}
        return cls(**sums, missing=audits[0].missing if len(audits) == 1 else 0, first=audits[0].first)

    def table(self) -> str:
        """Return the numbers as text, one per line."""
        share = 100 * self.supervised / max(1, self.tokens)
        rows = [
            ("batches", f"{self.batches:,}"),
            ("documents", f"{self.documents:,}"),
            ("tokens", f"{self.tokens:,}"),
            ("supervised tokens", f"{self.supervised:,} ({share:.1f} %)"),
            ("documents in no batch", f"{self.missing:,}"),
        ]
        return "\n".join(f"{name:<22}{value:>20}" for name, value in rows)


def audit_batches(
    trainer: Any,
    dataset: Iterable[Any],
    template: Template | str,
    tokenizer: Any = None,
    *,
    batches: int | None = None,
    row_numbers: Sequence[int] | None = None,
    max_rejected: str | int = 0,
    **options: Unpack[RowOptions],
) -> BatchAudit:
    """Compare what a built trainer would supervise with what the template marks in the same conversations.

    The batches are those of ``trainer.get_train_dataloader()``, after all that trl, accelerate and a collator did to
    the rows. The conversations are encoded again, by the exact path. Random states are restored afterwards, so an audit
    does not change the training that follows.

    Args:
        trainer: ``SFTTrainer``, or another ``Trainer`` of transformers.
        dataset: conversations that were passed to `prepare`.
        template: template that was passed to `prepare`.
        tokenizer: tokenizer that was passed to `prepare`; that of the trainer by default.
        batches: largest number of batches to audit; all by default.
        row_numbers: numbers of the rows to audit, in separate batches; all by default. ``dataset`` must then contain
            their conversations, and may contain others.
        max_rejected: as for `prepare`.
        **options: options that were passed to `prepare`.

    Raises:
        BatchAuditError: at the first difference, with its place and both texts.
    """
    tokenizer = trainer.processing_class if tokenizer is None else tokenizer
    exact = replace(row_options(options), fast="off")
    expected = Counter(
        _document(row.input_ids.tolist(), row.mask.tolist())
        for block in encode_documents(dataset, template, tokenizer, exact, max_rejected)
        for row in block.rows.rows()
    )
    comparison = _Comparison(expected, tokenizer)
    complete = row_numbers is None or len(set(row_numbers)) == len(trainer.train_dataset)
    with _dataloader(trainer, row_numbers) as loader:
        for number, batch in enumerate(loader):
            if batches is not None and number >= batches:
                complete = False
                break
            comparison.compare(number, batch)
    return comparison.result(trainer, complete)


def _document(ids: Iterable[int], supervised: Iterable[Any]) -> BatchDocument:
    marks = [bool(mark) for mark in supervised]
    return BatchDocument(tuple(ids), (False, *marks[1:]))


@contextmanager
def _dataloader(trainer: Any, rows: Sequence[int] | None) -> Iterator[Any]:
    import torch

    prepared = getattr(trainer.accelerator, "_dataloaders", [])
    before, dataset = len(prepared), trainer.train_dataset
    if rows is not None:
        trainer.train_dataset = dataset.select(rows)
    try:
        with torch.random.fork_rng():
            yield trainer.get_train_dataloader()
    finally:
        trainer.train_dataset = dataset
        del prepared[before:]


class _Comparison:
    """The documents that the template marks, and those of the batches so far."""

    def __init__(self, expected: Counter[BatchDocument], tokenizer: Any) -> None:
        self.expected, self.tokenizer = expected, tokenizer
        self.remaining = expected.copy()
        self.batches = self.documents = self.tokens = self.supervised = 0
        self.first = ""

    def compare(self, number: int, batch: Any) -> None:
        """Compare the documents of a batch.

        Raises:
            BatchAuditError: a document differs from what the template marks.
        """
        self.batches += 1
        for row, document in split_batch(batch, f"batch {number}"):
            if document not in self.expected:
                raise self._difference(f"batch {number}, row {row}", document)
            self.remaining[document] -= 1
            self.documents += 1
            self.tokens += len(document.ids)
            self.supervised += sum(document.supervised)
            self.first = self.first or marked_text(self.tokenizer, document)

    def result(self, trainer: Any, complete: bool) -> BatchAudit:
        """Return the numbers; raise `BatchAuditError` if documents are in no batch, for no known reason."""
        missing = +self.remaining
        count = sum(missing.values())
        explained = not complete or trainer.args.dataloader_drop_last or trainer.accelerator.num_processes > 1
        if count and not explained:
            raise BatchAuditError(
                f"{count} of {sum(self.expected.values())} documents are in no batch; the first is "
                f"{marked_text(self.tokenizer, next(iter(missing)), 0)!r}",
                hint="check that the dataset was not filtered, sampled or packed after prepare, and that prepare and "
                "audit_batches have the same options",
            )
        return BatchAudit(self.batches, self.documents, self.tokens, self.supervised, count, self.first)

    def _difference(self, where: str, found: BatchDocument) -> BatchAuditError:
        same_tokens = next((each for each in self.expected if each.ids == found.ids), None)
        if same_tokens is not None:
            return self._mask_difference(where, found, same_tokens)
        for each in self.expected:
            if len(each.ids) < len(found.ids) and found.ids[: len(each.ids)] == each.ids:
                return self._error(
                    f"{where}: the document that begins at token {len(each.ids)} attends to the one before it",
                    "packed rows need padding_free=True and no attention mask; sft_config sets it",
                    found,
                    each,
                    len(each.ids),
                )
        nearest = max(self.expected, key=lambda each: first_difference(each.ids, found.ids))
        at = first_difference(nearest.ids, found.ids)
        if at == len(found.ids):
            message = f"{where}: the document was cut from {len(nearest.ids)} to {at} tokens"
            return self._error(message, "pass max_length to prepare, which removes whole turns", found, nearest, at)
        message = f"{where}, token {at}: no conversation renders to this document"
        hint = "check that the row was made with the same template, tokenizer and options"
        return self._error(message, hint, found, nearest, at)

    def _mask_difference(self, where: str, found: BatchDocument, expected: BatchDocument) -> BatchAuditError:
        at = first_difference(found.supervised, expected.supervised)
        token = decode(self.tokenizer, [found.ids[at]])
        verdict = (
            "supervised, but the template does not mark it"
            if found.supervised[at]
            else "not supervised, but the template marks it"
        )
        message = f"{where}, token {at} ({token!r}) is {verdict}"
        hint = "something between prepare and the model altered the labels: check collators, maps and trl's options"
        return self._error(message, hint, found, expected, at)

    def _error(
        self, message: str, hint: str, found: BatchDocument, expected: BatchDocument, at: int
    ) -> BatchAuditError:
        texts = [
            f"  {name:<9}{marked_text(self.tokenizer, each, at)!r}"
            for name, each in (("trainer", found), ("template", expected))
        ]
        return BatchAuditError("\n".join([message, *texts]), hint=hint)


def split_batch(batch: Any, where: str = "the batch") -> Iterator[tuple[int, BatchDocument]]:
    """Split a batch into documents as a model does, by ``attention_mask`` or by ``position_ids`` that restart at 0.

    Yields:
        The number of the row, and the document. Documents without supervised tokens, which fill up rows, are left out.

    Raises:
        BatchAuditError: padding, or the first token of a document, is supervised; or a label is another token.
    """
    labels, ids = batch["labels"].tolist(), batch["input_ids"].tolist()
    masks = batch["attention_mask"].tolist() if batch.get("attention_mask") is not None else None
    positions = batch["position_ids"].tolist() if batch.get("position_ids") is not None else None
    for row, (tokens, targets) in enumerate(zip(ids, labels, strict=True)):
        if masks is not None:
            kept = [index for index, mask in enumerate(masks[row]) if mask]
            if any(target != IGNORE_INDEX for index, target in enumerate(targets) if not masks[row][index]):
                raise BatchAuditError(f"{where}, row {row}: padding is supervised", hint="its label must be -100")
            tokens, targets = [tokens[index] for index in kept], [targets[index] for index in kept]
        starts = [0]
        if masks is None and positions is not None:
            starts = [index for index, position in enumerate(positions[row]) if position == 0]
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
            if start and targets[start] != IGNORE_INDEX:
                raise BatchAuditError(
                    f"{where}, row {row}, token {start}: the first token of a document is supervised, so it would be "
                    "predicted from the document before it",
                    hint="its label must be -100",
                )
            for token, target in zip(tokens[start:end], targets[start:end], strict=True):
                if target not in (IGNORE_INDEX, token):
                    raise BatchAuditError(
                        f"{where}, row {row}: token {token} has the label {target}",
                        hint="labels must not be shifted: the model shifts them",
                    )
            supervised = [target != IGNORE_INDEX for target in targets[start:end]]
            if any(supervised):
                yield row, _document(tokens[start:end], supervised)


def marked_text(tokenizer: Any, document: BatchDocument, at: int | None = None) -> str:
    """Return a document, or its part around a token, as text with supervised text between ⟦ and ⟧."""
    start, end = (0, len(document.ids)) if at is None else (max(0, at - _AROUND), min(len(document.ids), at + _AROUND))
    pieces, open_ = ["…" if start else ""], False
    run: list[int] = []
    for token, supervised in zip(document.ids[start:end], document.supervised[start:end], strict=True):
        if supervised != open_:
            pieces += [decode(tokenizer, run), "⟦" if supervised else "⟧"]
            run, open_ = [], supervised
        run.append(token)
    pieces += [decode(tokenizer, run), "⟧" if open_ else "", "…" if end < len(document.ids) else ""]
    return "".join(pieces)
