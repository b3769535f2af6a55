"""The audit: what a built trainer will really supervise, batch by batch, against what the template says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from chattmpl.errors import ChatTmplError
from chattmpl.training.adapter.completions import decode
from chattmpl.training.adapter.prepare import encoded, options_of

IGNORED = -100
_AROUND = 12
"""Tokens that are shown on either side of a difference."""


class AuditError(ChatTmplError):
    """The trainer would supervise something else than the template says."""


class Seen(NamedTuple):
    """A document as the model gets it: its tokens, and whether each is supervised.

    The first token of a document never is: nothing of the document stands before it.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]


@dataclass(frozen=True)
class Audited:
    """What a trainer supervises, which is what the template says.

    Attributes:
        batches: how many were looked at.
        documents: how many conversations, or parts of them, stood in them.
        tokens: how many tokens they have.
        supervised: how many of these are supervised.
        missing: how many documents were in no batch; 0, unless the last batch is dropped or only some were looked at.
        first: the first document, decoded, with what is supervised between ⟦ and ⟧.
    """

    batches: int
    documents: int
    tokens: int
    supervised: int
    missing: int
    first: str

    def table(self) -> str:
        """The numbers, a line each, for a person."""
        share = 100 * self.supervised / max(1, self.tokens)
        rows = [
            ("batches", f"{self.batches:,}"),
            ("documents", f"{self.documents:,}"),
            ("tokens", f"{self.tokens:,}"),
            ("supervised tokens", f"{self.supervised:,} ({share:.1f} %)"),
            ("documents in no batch", f"{self.missing:,}"),
        ]
        return "\n".join(f"{name:<22}{value:>20}" for name, value in rows)


def audit(
    trainer: Any,
    dataset: Iterable[Any],
    template: Any,
    tokenizer: Any = None,
    *,
    batches: int | None = None,
    rows: Sequence[int] | None = None,
    max_rejected: str | int = 0,
    **options: Any,
) -> Audited:
    """Compares what a built trainer will supervise with what the template says of the same conversations.

    The batches are those of ``trainer.get_train_dataloader()``, behind all that trl, accelerate and a collator did to
    the rows. What the template says is encoded anew, by the exact path. Random states are as before afterwards, so an
    audit changes nothing of the training that follows.

    Args:
        trainer: an ``SFTTrainer``, or another ``Trainer`` of transformers.
        dataset: the conversations that were given to `prepare`.
        template: likewise.
        tokenizer: likewise; by default that of the trainer.
        batches: look at so many only.
        rows: look at these rows of the trainer's data set only, by number, in batches of their own. The dataset is
            then to hold the conversations that they were made of; it may hold others.
        max_rejected: as in `prepare`.
        **options: those that were given to `prepare`.

    Raises:
        AuditError: at the first difference, with its place and both texts.
    """
    tokenizer = trainer.processing_class if tokenizer is None else tokenizer
    chosen = replace(options_of(options), fast="off")
    wanted = Counter(
        _document(each.sample.ids.tolist(), each.sample.mask.tolist())
        for each in encoded(dataset, template, tokenizer, chosen, max_rejected)
    )
    comparison = _Comparison(wanted, tokenizer)
    whole = rows is None or len(set(rows)) == len(trainer.train_dataset)
    with _loader(trainer, rows) as loader:
        for number, batch in enumerate(loader):
            if batches is not None and number >= batches:
                whole = False
                break
            comparison.batch(number, batch)
    return comparison.result(trainer, whole)


def _document(ids: Iterable[int], trained: Iterable[Any]) -> Seen:
    marks = [bool(mark) for mark in trained]
    return Seen(tuple(ids), (False, *marks[1:]))


@contextmanager
def _loader(trainer: Any, rows: Sequence[int] | None) -> Iterator[Any]:
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
    """What was seen so far, and what is still to be seen."""

    def __init__(self, wanted: Counter[Seen], tokenizer: Any) -> None:
        self.wanted, self.tokenizer = wanted, tokenizer
        self.left = wanted.copy()
        self.batches = self.documents = self.tokens = self.supervised = 0
        self.first = ""

    def batch(self, number: int, batch: Any) -> None:
        """Looks at a batch.

        Raises:
            AuditError: something in it is not what the template says.
        """
        self.batches += 1
        for row, document in documents_of(batch, f"batch {number}"):
            where = f"batch {number}, row {row}"
            if document not in self.wanted:
                raise self._difference(where, document)
            self.left[document] -= 1
            self.documents += 1
            self.tokens += len(document.ids)
            self.supervised += sum(document.trained)
            self.first = self.first or marked(self.tokenizer, document)

    def result(self, trainer: Any, whole: bool) -> Audited:
        """The numbers.

        Raises:
            AuditError: documents that are in no batch, for no known reason.
        """
        missing = +self.left
        count = sum(missing.values())
        explained = not whole or trainer.args.dataloader_drop_last or trainer.accelerator.num_processes > 1
        if count and not explained:
            lost = next(iter(missing))
            raise AuditError(
                f"{count} of {sum(self.wanted.values())} documents are in no batch; the first is "
                f"{marked(self.tokenizer, lost, 0)!r}",
                hint="was the data set filtered, sampled or packed after it was prepared, or are the options of "
                "prepare and audit not the same?",
            )
        return Audited(self.batches, self.documents, self.tokens, self.supervised, count, self.first)

    def _difference(self, where: str, seen: Seen) -> AuditError:
        known = [each for each in self.wanted if each.ids == seen.ids]
        if known:
            return self._other_mask(where, seen, known[0])
        for each in self.wanted:
            if len(each.ids) < len(seen.ids) and seen.ids[: len(each.ids)] == each.ids:
                return self._error(
                    f"{where}: what begins at token {len(each.ids)} is another document, which sees the one before it",
                    "packed rows need padding_free=True and no attention mask; sft_config fills it in",
                    seen,
                    each,
                    len(each.ids),
                )
        nearest = max(self.wanted, key=lambda each: _common(each.ids, seen.ids))
        at = _common(nearest.ids, seen.ids)
        if at == len(seen.ids):
            message = f"{where}: the document was cut from {len(nearest.ids)} to {at} tokens"
            return self._error(message, "give max_length to prepare, which cuts whole turns", seen, nearest, at)
        message = f"{where}, token {at}: no conversation is rendered so"
        hint = "was the row made with another template, tokenizer or options?"
        return self._error(message, hint, seen, nearest, at)

    def _other_mask(self, where: str, seen: Seen, said: Seen) -> AuditError:
        at = _common(seen.trained, said.trained)
        token = decode(self.tokenizer, [seen.ids[at]])
        verdicts = ("is trained", "not") if seen.trained[at] else ("is not trained", "it is")
        message = f"{where}, token {at} ({token!r}): it {verdicts[0]}, and the template says {verdicts[1]}"
        hint = "labels were altered between prepare and the model: look at collators, maps and trl's options"
        return self._error(message, hint, seen, said, at)

    def _error(self, message: str, hint: str, seen: Seen, said: Seen, at: int) -> AuditError:
        shown = [
            f"  {who:<9}{marked(self.tokenizer, each, at)!r}" for who, each in (("trainer", seen), ("template", said))
        ]
        return AuditError("\n".join([message, *shown]), hint=hint)


def documents_of(batch: Any, where: str = "the batch") -> Iterator[tuple[int, Seen]]:
    """The documents of a batch with their rows, told apart as a model does.

    Raises:
        AuditError: a token is supervised that no token of its document stands before, or that is padding.
    """
    labels, ids = batch["labels"].tolist(), batch["input_ids"].tolist()
    masks = batch["attention_mask"].tolist() if batch.get("attention_mask") is not None else None
    positions = batch["position_ids"].tolist() if batch.get("position_ids") is not None else None
    for row, (tokens, targets) in enumerate(zip(ids, labels, strict=True)):
        if masks is not None:
            kept = [index for index, mask in enumerate(masks[row]) if mask]
            if any(target != IGNORED for index, target in enumerate(targets) if not masks[row][index]):
                raise AuditError(f"{where}, row {row}: padding is supervised", hint="its label must be -100")
            tokens, targets = [tokens[index] for index in kept], [targets[index] for index in kept]
        starts = [0]
        if masks is None and positions is not None:
            starts = [index for index, position in enumerate(positions[row]) if position == 0]
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
            if start and targets[start] != IGNORED:
                raise AuditError(
                    f"{where}, row {row}, token {start}: the first token of a document is supervised, and what stands "
                    "before it is another document",
                    hint="its label must be -100",
                )
            for token, target in zip(tokens[start:end], targets[start:end], strict=True):
                if target not in (IGNORED, token):
                    raise AuditError(
                        f"{where}, row {row}: the label {target} of the token {token} is another token",
                        hint="labels are not shifted: the model does that",
                    )
            # A document in which nothing is trained is what a row was filled up with.
            if any(target != IGNORED for target in targets[start:end]):
                yield row, _document(tokens[start:end], [target != IGNORED for target in targets[start:end]])


def _common(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """How many of the first items are the same."""
    length = min(len(one), len(other))
    return next((index for index in range(length) if one[index] != other[index]), length)


def marked(tokenizer: Any, document: Seen, at: int | None = None) -> str:
    """A document as text, with what is supervised between ⟦ and ⟧; only what stands around a token, if one is given."""
    start, end = (0, len(document.ids)) if at is None else (max(0, at - _AROUND), min(len(document.ids), at + _AROUND))
    pieces, open_ = ["…" if start else ""], False
    run: list[int] = []
    for token, trained in zip(document.ids[start:end], document.trained[start:end], strict=True):
        if trained != open_:
            pieces += [decode(tokenizer, run), "⟦" if trained else "⟧"]
            run, open_ = [], trained
        run.append(token)
    pieces += [decode(tokenizer, run), "⟧" if open_ else "", "…" if end < len(document.ids) else ""]
    return "".join(pieces)
