"""Some rows on their way from records to samples."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.shapes import parse_record
from chattmpl.conversation.validation_errors import FieldError, dotted
from chattmpl.data.encoder.encoded_batch import Encoded
from chattmpl.data.job.counters import Counts, add, count
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Part
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.mixture import Source
from chattmpl.data.overflow import fit
from chattmpl.data.samples import NOTHING_TO_TRAIN, TOO_LONG, Refusal, Sample, taken
from chattmpl.data.sources import RawRow
from chattmpl.data.unroll import unroll
from chattmpl.data.writers import Block, Document
from chattmpl.errors import ChatTmplError

_Made = TypeVar("_Made")


class Item(NamedTuple):
    """A row that was drawn, and the part that it is of."""

    raw: RawRow
    part: Part


@dataclass
class Result:
    """What the rows of a shard gave.

    Attributes:
        block: the samples, where each is a row as it was encoded; None if some are made otherwise.
        listed: the samples with their places, in order, where there is no block.
        refused: the rows that gave none, or not all that they hold, as JSON.
        counts: what happened.
        lengths: for each row that was drawn its number in its source and the tokens that it gave.
        tokens: how many there are.
        origins: tells the source and the place of each sample of the block.
    """

    block: Block | None = None
    listed: list[Document] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    counts: Counts = field(default_factory=dict)
    lengths: list[tuple[int, int, int]] = field(default_factory=list)
    tokens: int = 0
    origins: Callable[[], Iterable[tuple[str, str]]] = tuple

    @property
    def documents(self) -> list[Document]:
        """The samples with their places, in order."""
        if self.block is None:
            return self.listed
        return [Document(sample, *origin) for sample, origin in zip(self.block.samples(), self.origins(), strict=True)]


class Batch:
    """Some rows on their way from records to samples."""

    def __init__(self, setup: Setup, items: Sequence[Item]) -> None:
        self.setup, self.items = setup, items
        self.options = setup.options
        self.result = Result()
        self.outcomes: list[list[Sample | Refusal]] = [[] for _ in items]

    def run(self) -> Result:
        """What the rows give."""
        ready: list[tuple[int, Any]] = []
        for number, item in enumerate(self.items):
            conversation = self._conversation(item)
            if isinstance(conversation, Refusal):
                self.outcomes[number].append(conversation)
            else:
                ready.append((number, conversation))
        if self.options.unroll:
            self._unroll(ready)
        elif (encoded := self._at_once(ready)) is not None:
            Plain(self, encoded, [number for number, _ in ready]).settle()
            return self.result
        else:
            self._encode(ready)
        for item, outcome in zip(self.items, self.outcomes, strict=True):
            self._settle(item, outcome)
        return self.result

    def _conversation(self, item: Item) -> Any:
        """The conversation that a row holds, with the kwargs of its source."""
        if item.raw.error is not None:
            error = item.raw.error
            return Refusal("json", error.message, error.hint)
        source = self.setup.sources[item.part.source]
        try:
            return conversation_of(item.raw.value, source, self.options)
        except FieldError as error:
            return Refusal("conversation", error.message, error.hint, dotted(error.path) or None)
        except ChatTmplError as error:
            return Refusal("conversation", error.message, error.hint)
        except Exception as error:
            return _unexpected(error)

    def _at_once(self, ready: Sequence[tuple[int, Any]]) -> Encoded | None:
        """The rows as few arrays; None where one is too long, or something is asked for that the arrays do not have."""
        encode = getattr(self.setup.encoder, "encode_columns", None)
        if encode is None or "message_index" in self.options.all_columns:
            return None
        try:
            encoded: Encoded = encode([conversation for _, conversation in ready])
        except Exception:  # which row it is will be found
            return None
        longest = self.options.longest
        return None if longest is not None and (encoded.lengths > longest).any() else encoded

    def _encode(self, ready: Sequence[tuple[int, Any]]) -> None:
        longest = self.options.longest
        results = each_or_all(self._encode_many, [conversation for _, conversation in ready])
        for (number, conversation), result in zip(ready, results, strict=True):
            if isinstance(result, Sample) and longest is not None and len(result) > longest:
                self._fit(number, conversation, result, longest)
            else:
                self.outcomes[number].append(result)

    def _encode_many(self, conversations: Sequence[Any]) -> list[Sample | Refusal]:
        return [taken(answer) for answer in self.setup.encoder.encode_many(conversations)]

    def _fit(self, number: int, conversation: Any, sample: Sample, longest: int) -> None:
        options = self.options
        fitted = fit(self.setup.encoder, conversation, sample, longest, options.overflow, mask=options.mask)
        self.outcomes[number] += [*fitted.samples, *fitted.refused]
        add(self.result.counts, {"overflow": dict(fitted.counts)} if fitted.counts else {})

    def _unroll(self, ready: Sequence[tuple[int, Any]]) -> None:
        options, encoder = self.options, self.setup.encoder
        if options.overflow == "split" and options.longest is not None:
            ready = list(self._split(ready, options.longest))
        cutting = options.overflow == "truncate-tokens"
        limit = None if cutting else options.longest
        conversations = [each for _, each in ready]
        prompts = self.setup.prompts
        unrolled = each_or_all(
            lambda some: unroll(encoder, prompts, some, mask=options.mask, max_length=limit), conversations
        )
        for (number, conversation), rolled in zip(ready, unrolled, strict=True):
            if isinstance(rolled, Refusal):
                self.outcomes[number].append(rolled)
                continue
            count(self.result.counts, "unroll", "rows")
            count(self.result.counts, "unroll", "samples", by=len(rolled.samples))
            self.outcomes[number] += rolled.refused
            for sample in rolled.samples:
                if options.longest is not None and len(sample) > options.longest:
                    self._fit(number, conversation, sample, options.longest)
                else:
                    self.outcomes[number].append(sample)
            self._left_out(number, rolled.too_long, bool(rolled.samples))

    def _left_out(self, number: int, turns: Sequence[int], others: bool) -> None:
        """Turns of an unrolled row that fit into no sample."""
        if not turns:
            return
        if others and self.options.overflow != "reject":
            add(self.result.counts, {"overflow": {"rows": 1, "turns": len(turns)}})
            return
        where = ", ".join(f"messages[{turn}]" for turn in turns)
        problem = f"{where} with what stands before has more than {self.options.longest} tokens"
        self.outcomes[number].append(Refusal(TOO_LONG, problem, "raise --max-length"))

    def _split(self, ready: Sequence[tuple[int, Any]], longest: int) -> Iterator[tuple[int, Any]]:
        """Conversations in parts that fit, to be unrolled each by itself."""
        results = each_or_all(self._encode_many, [conversation for _, conversation in ready])
        for (number, conversation), result in zip(ready, results, strict=True):
            if isinstance(result, Refusal) or len(result) <= longest:
                yield number, conversation
                continue
            fitted = fit(self.setup.encoder, conversation, result, longest, "split", mask=self.options.mask)
            self.outcomes[number] += fitted.refused
            add(self.result.counts, {"overflow": dict(fitted.counts)} if fitted.counts else {})
            yield from ((number, part) for part in fitted.conversations)

    def _settle(self, item: Item, outcome: Sequence[Sample | Refusal]) -> None:
        """Counts what became of a row, and keeps its samples or the reason why there are none."""
        name, place = self.setup.name(item.part), self.setup.place(item.part, item.raw.number, item.raw.line)
        tokens = trained = kept = 0
        refusals = []
        for each in outcome:
            if isinstance(each, Refusal):
                refusals.append(each)
            elif not each.trained:
                refusals.append(untrained())
            else:
                self.result.listed.append(Document(each, name, place))
                tokens, trained, kept = tokens + len(each), trained + each.trained, kept + 1
                self._noticed(each)
        self.result.tokens += tokens
        self.settled(item, refusals, tokens, trained, kept)

    def settled(self, item: Item, refusals: Sequence[Any], tokens: int, trained: int, kept: int) -> None:
        """Counts what became of a row."""
        number = item.part.first + item.raw.number - item.part.piece.first
        self.result.lengths.append((item.part.source, number, tokens))
        counts: Counts = {"drawn": 1, "samples": kept, "tokens": tokens, "trained": trained}
        if item.part.round == 0:
            counts |= {"rows": 1, "encoded": int(bool(kept)), "rejected": int(bool(refusals))}
            for refusal in refusals:
                self.result.refused.append(self._refused(item, refusal))
                count(self.result.counts, "reasons", refusal.reason)
        add(self.result.counts, {"sources": {self.setup.name(item.part): counts}})

    def _noticed(self, sample: Sample) -> None:
        for what, amount in (("straddles", sample.straddles), ("escaped", sample.escaped)):
            if amount:
                count(self.result.counts, what, "rows")
                count(self.result.counts, what, "tokens", by=amount)

    def _refused(self, item: Item, refusal: Refusal) -> dict[str, Any]:
        raw, source = item.raw, self.setup.name(item.part)
        path = self.setup.files[item.part.source][item.part.file].path
        said: dict[str, Any] = {"file": path, "line": raw.line, "index": raw.number, "source": source}
        said |= {"reason": refusal.reason, "message": refusal.message, "place": refusal.place, "hint": refusal.hint}
        if raw.text is None:
            return {**said, "row": raw.value}
        try:
            return {**said, "row": raw.text.decode("utf-8").rstrip("\r\n")}
        except UnicodeDecodeError:
            return {**said, "row": None, "row_base64": base64.b64encode(raw.text.rstrip(b"\r\n")).decode()}


class Plain:
    """Rows that are samples as they were encoded: they stay one stretch of memory, and are counted together."""

    def __init__(self, batch: Batch, encoded: Encoded, numbers: Sequence[int]) -> None:
        self.batch, self.encoded = batch, encoded
        self.rejected: dict[int, Sample | Refusal] = {
            numbers[index]: taken(why) for index, why in encoded.rejected.items()
        }
        self.kept = [numbers[index] for index in encoded.kept]

    def settle(self) -> None:
        """Fills the batch's result."""
        batch, encoded = self.batch, self.encoded
        lengths, trained = encoded.lengths, encoded.trained
        good = trained > 0
        for number, outcome in enumerate(batch.outcomes):
            self.rejected.update((number, refusal) for refusal in outcome if isinstance(refusal, Refusal))
        figures = dict(zip(self.kept, zip(lengths.tolist(), trained.tolist(), strict=True), strict=True))
        sums: dict[Part, list[int]] = {}
        for number, item in enumerate(batch.items):
            tokens, supervised = figures.get(number, (0, 0))
            if not supervised:
                batch.settled(item, [self.rejected.get(number) or untrained()], 0, 0, 0)
                continue
            row = item.part.first + item.raw.number - item.part.piece.first
            batch.result.lengths.append((item.part.source, row, tokens))
            some = sums.setdefault(item.part, [0, 0, 0])
            some[0], some[1], some[2] = some[0] + 1, some[1] + tokens, some[2] + supervised
        for part, some in sums.items():
            self._count(part, *some)
        for what, amounts in (("straddles", encoded.straddles[good]), ("escaped", encoded.escaped[good])):
            if amounts.any():
                count(batch.result.counts, what, "rows", by=int((amounts > 0).sum()))
                count(batch.result.counts, what, "tokens", by=int(amounts.sum()))
        batch.result.tokens = int(lengths[good].sum())
        batch.result.block = self._block(good, lengths)

    def _count(self, part: Part, rows: int, tokens: int, trained: int) -> None:
        counts: Counts = {"drawn": rows, "samples": rows, "tokens": tokens, "trained": trained}
        if part.round == 0:
            counts |= {"rows": rows, "encoded": rows, "rejected": 0}
        add(self.batch.result.counts, {"sources": {self.batch.setup.name(part): counts}})

    def _block(self, good: Any, lengths: Any) -> Block:
        ids, mask, offsets = self.encoded.input_ids, self.encoded.mask, self.encoded.offsets
        if not good.all():
            chosen = np.repeat(good, lengths)
            ids, mask = ids[chosen], mask[chosen]
            offsets = np.concatenate(([0], np.cumsum(lengths[good])))
        batch, columns = self.batch, self.batch.options.all_columns
        kept = [batch.items[number] for number, well in zip(self.kept, good.tolist(), strict=True) if well]
        # Not the rows themselves, which would stay in memory until they are written.
        spots = [(item.part, item.raw.number, item.raw.line) for item in kept]
        name, place = batch.setup.name, batch.setup.place
        batch.result.origins = lambda: [(name(spot[0]), place(*spot)) for spot in spots]
        sources = [name(spot[0]) for spot in spots] if "source" in columns else None
        places = [place(*spot) for spot in spots] if "place" in columns else None
        straddles, escaped = self.encoded.straddles[good], self.encoded.escaped[good]
        return Block(ids, mask, offsets, straddles, escaped, sources, places)


def untrained() -> Refusal:
    """Why a row without a trained token gives no sample."""
    return Refusal(NOTHING_TO_TRAIN, "no token of the row is trained")


def each_or_all(do: Callable[[Sequence[Any]], Sequence[_Made]], given: Sequence[Any]) -> list[_Made | Refusal]:
    """What is made of all; where that raises, of each by itself, so that one row does not stop the others."""
    try:
        return list(do(given))
    except Exception:
        made: list[_Made | Refusal] = []
        for one in given:
            try:
                made += do([one])
            except Exception as error:
                made.append(_unexpected(error))
        return made


def _unexpected(error: Exception) -> Refusal:
    if isinstance(error, ChatTmplError):
        return Refusal("error", error.message, error.hint)
    return Refusal("error", f"{type(error).__name__}: {error}", "please report it")


def conversation_of(record: Any, source: Source, options: Options) -> Any:
    """The conversation of a record: as it is where an encoder takes it so, else read by its shape.

    Raises:
        ConversationError: it is none.
    """
    shape = source.shape or options.shape
    kwargs = dict(source.chat_template_kwargs)
    if isinstance(record, dict):
        kwargs |= {
            name: record[column] for name, column in source.kwargs_from.items() if record.get(column) is not None
        }
        plain = shape in (None, "messages") and record.get("messages") and not _AMBIGUOUS.intersection(record)
        if plain and (record.get("chat_template_kwargs") is None or isinstance(record["chat_template_kwargs"], dict)):
            own = {k: v for k, v in (record.get("chat_template_kwargs") or {}).items() if v is not None}
            return {**record, "chat_template_kwargs": {**kwargs, **own}} if kwargs else record
    conversation: Conversation = parse_record(record, shape)
    if kwargs:
        own = {k: v for k, v in (conversation.chat_template_kwargs or {}).items() if v is not None}
        conversation = conversation.model_copy(update={"chat_template_kwargs": {**kwargs, **own}})
    return conversation


_AMBIGUOUS = frozenset({"conversations", "instruction", "output", "prompt", "completion"})
"""Keys of other shapes, which let `parse_record` decide."""
