"""Statistics of datasets: examples and tokens by source and reasoning mode, lengths, and padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Unpack

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.notes import ReadingNote
from chattmpl.conversation.shapes import Reading
from chattmpl.conversation.spellings import CANONICAL_FLAGS
from chattmpl.data.encoder import Encoder
from chattmpl.data.job.context import open_encoder
from chattmpl.data.job.events import JobNote, JobNoteKind, Watcher
from chattmpl.data.job.options import Options, ScanOptions
from chattmpl.data.lengths import PERCENTILES, Bin, histogram, packed_rows, padded_random, padded_sorted, percentile
from chattmpl.data.reading import concerning
from chattmpl.data.reasoning_mode import MODES, Mode, assistants, messages_of, shown_mode
from chattmpl.data.rows import Rejection, RejectionReason
from chattmpl.data.survey import Data, ScannedRow, require_rows, survey
from chattmpl.encode import template_for
from chattmpl.errors import UsageError
from chattmpl.options import check_options
from chattmpl.template.template import Template

BATCH_SIZES = (8, 32)


# -- counting


@dataclass
class RowGroup:
    """Sums over some conversations.

    Attributes:
        examples: number of conversations.
        tokens: number of tokens of their rows.
        responses: number of tokens that the model samples.
        supervised: number of trained tokens.
        turns, assistant_turns: number of messages, and of assistant messages.
        lengths: number of rows by length.
    """

    examples: int = 0
    tokens: int = 0
    responses: int = 0
    supervised: int = 0
    turns: int = 0
    assistant_turns: int = 0
    lengths: Counter[int] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.lengths.total()

    def add(self, other: RowGroup) -> None:
        """Add the rows of another group."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass
class RowCounts:
    """Counts of rows.

    Attributes:
        groups: encoded conversations by source and mode.
        rejected: rejected ones by source and reason.
        reading: rows by the notes on how they were read.
    """

    groups: dict[tuple[str, Mode], RowGroup] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    reading: Counter[ReadingNote] = field(default_factory=Counter)


class _Counter:
    """A visitor that counts rows; ``responses`` encodes them with all sampled tokens trained, if they are not."""

    keep = ()

    def __init__(self, responses: Encoder | None = None) -> None:
        self._responses = responses

    def start(self) -> RowCounts:
        return RowCounts()

    def merge(self, seen: RowCounts, more: RowCounts) -> None:
        for key, group in more.groups.items():
            seen.groups.setdefault(key, RowGroup()).add(group)
        seen.rejected.update(more.rejected)
        seen.reading.update(more.reading)

    def visit(self, seen: RowCounts, rows: Sequence[ScannedRow], encoder: Encoder) -> None:
        responses = self._sampled_tokens(rows, encoder)
        for number, row in enumerate(rows):
            if not row.repeated:
                seen.reading.update(row.notes)
            if not row.encoded:
                seen.rejected[row.source, row.rejection.reason if row.rejection else RejectionReason.ERROR] += 1
                continue
            messages = messages_of(row.conversation)
            group = seen.groups.setdefault((row.source, shown_mode(messages)), RowGroup())
            lengths = Counter(map(len, row.encoded))
            supervised = sum(each.trained for each in row.encoded)
            group.add(
                RowGroup(
                    1,
                    sum(map(len, row.encoded)),
                    responses.get(number, supervised),
                    supervised,
                    len(messages),
                    len(assistants(messages)),
                    lengths,
                )
            )

    def _sampled_tokens(self, rows: Sequence[ScannedRow], encoder: Encoder) -> dict[int, int]:
        """Return the number of sampled tokens, by index, of conversations in which not all of them are trained."""
        other = self._responses
        wanted = [number for number, row in enumerate(rows) if row.encoded and (other or _flagged(row.conversation))]
        if not wanted:
            return {}
        found = (other or encoder).encode_rows(
            [Reading(_without_flags(rows[number].conversation)) for number in wanted]
        )
        return {
            number: sum(int(row.trained) for row in some)
            for number, some in zip(wanted, found, strict=True)
            if not isinstance(some, Rejection)
        }


def _flagged(conversation: Any) -> bool:
    return any(message.get(name) is not None for message in messages_of(conversation) for name in CANONICAL_FLAGS)


def _without_flags(conversation: Any) -> Any:
    messages = [{k: v for k, v in message.items() if k not in CANONICAL_FLAGS} for message in messages_of(conversation)]
    if isinstance(conversation, Conversation):
        return Conversation.coerce({**conversation.dump(), "messages": messages})
    return {**conversation, "messages": messages} if isinstance(conversation, dict) else messages


# -- figures


@dataclass(frozen=True)
class Stats:
    """Statistics of a dataset.

    Attributes:
        counted: the counts of its rows.
        sources: the names of the sources, in order.
        batch_sizes: batch sizes for padding.
        pack: number of tokens of a packed row; by default the next power of two above the longest row.
        settings: template, retention and tokenizer, which are part of the output.
    """

    counted: RowCounts
    sources: tuple[str, ...]
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    pack: int | None = None
    settings: dict[str, Any] | None = None

    @property
    def total(self) -> RowGroup:
        """The total of all rows."""
        return _sum(self.counted.groups.values())

    def source(self, name: str) -> RowGroup:
        """Return the total of a source."""
        return _sum(group for (source, _), group in self.counted.groups.items() if source == name)

    def mode(self, name: str) -> RowGroup:
        """Return the total of a reasoning mode."""
        return _sum(group for (_, mode), group in self.counted.groups.items() if mode == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as JSON; the documentation of ``chattmpl stats`` defines each figure."""
        total = self.total
        groups = []
        for source in self.sources:
            own = [mode for mode in MODES if (source, mode) in self.counted.groups]
            groups += [self._figures(source, mode, self.counted.groups[source, mode], total) for mode in own]
        return {
            **(self.settings or {}),
            "total": self._figures(None, None, total, total),
            "sources": [self._figures(name, None, self.source(name), total) for name in self.sources],
            "modes": [self._figures(None, mode, some, total) for mode in MODES if (some := self.mode(mode)).examples],
            "groups": groups,
            "histogram": [self._bar(bar) for bar in histogram(total.lengths)],
            "padding": self._padding(total),
            "rejected": self._rejected(),
        }

    def _figures(self, source: str | None, mode: str | None, group: RowGroup, total: RowGroup) -> dict[str, Any]:
        context = group.tokens - group.responses
        figures: dict[str, Any] = {
            "source": source,
            "mode": mode,
            "examples": group.examples,
            "rows": group.rows,
            "share_of_examples": _ratio(group.examples, total.examples),
            "tokens": group.tokens,
            "tokens_millions": round(group.tokens / 1e6, 6),
            "share_of_tokens": _ratio(group.tokens, total.tokens),
            "mean_tokens": _ratio(group.tokens, group.rows),
            "context_tokens": context,
            "mean_context_tokens": _ratio(context, group.rows),
            "response_tokens": group.responses,
            "mean_response_tokens": _ratio(group.responses, group.rows),
            "supervised_tokens": group.supervised,
            "supervised_share": _ratio(group.supervised, group.tokens),
            "mean_turns": _ratio(group.turns, group.examples),
            "mean_assistant_turns": _ratio(group.assistant_turns, group.examples),
        }
        lengths = group.lengths
        figures |= {f"p{percent}": round(percentile(lengths, percent), 6) if lengths else 0 for percent in PERCENTILES}
        return {**figures, "min": min(lengths, default=0), "max": max(lengths, default=0)}

    def _bar(self, bar: Bin) -> dict[str, Any]:
        modes = {mode: self.mode(mode).lengths for mode in MODES}
        counts = {
            mode: sum(count for length, count in lengths.items() if bar.start <= length < bar.end)
            for mode, lengths in modes.items()
            if lengths
        }
        return {**asdict(bar), "modes": counts}

    def _padding(self, total: RowGroup) -> dict[str, Any]:
        lengths = total.lengths
        if not lengths:
            return {"batches": [], "packed": None}
        batches = [
            {
                "batch_size": size,
                "random": _padding_share(total.tokens, padded_random(lengths, size)),
                "sorted": _padding_share(total.tokens, padded_sorted(lengths, size)),
            }
            for size in self.batch_sizes
        ]
        size = self.pack or 1 << (max(lengths) - 1).bit_length()
        rows = packed_rows(lengths, size)
        fitting = sum(min(length, size) * count for length, count in lengths.items())
        packed = {
            "size": size,
            "rows": rows,
            "lost": _padding_share(fitting, rows * size),
            "cut_rows": sum(count for length, count in lengths.items() if length > size),
            "cut_tokens": total.tokens - fitting,
        }
        return {"batches": batches, "packed": packed}

    def _rejected(self) -> dict[str, Any]:
        reasons: Counter[str] = Counter()
        for (_, reason), count in self.counted.rejected.items():
            reasons[reason] += count
        each = {
            source: sum(count for (name, _), count in self.counted.rejected.items() if name == source)
            for source in self.sources
        }
        return {
            "rows": sum(reasons.values()),
            "reasons": dict(sorted(reasons.items())),
            "sources": {name: count for name, count in each.items() if count},
        }


def stats(
    data: Data,
    template: Any,
    tokenizer: Any,
    *,
    retention: str | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    pack: int | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
    **options: Unpack[ScanOptions],
) -> Stats:
    """Compute statistics of a dataset as it is encoded.

    Args:
        data: files, folders, patterns, a mixture; or records, a ``datasets.Dataset``, or several of them by name.
        template: a `Template`, or what `Template.load` accepts.
        tokenizer: what `chattmpl.encode.load_tokenizer` accepts.
        retention: retention policy for earlier reasoning traces.
        batch_sizes: batch sizes for padding.
        pack: number of tokens of a packed row; by default the next power of two above the longest row.
        workers: number of processes; by default as many as are worth starting.
        watcher: receives the progress.
        **options: see `ScanOptions`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: an argument is invalid.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    check_options(pack=pack)
    for size in batch_sizes:
        if size < 1:
            raise UsageError(f"a batch size must be at least 1, not {size}")
    loaded = template_for(template, tokenizer, retention)
    chosen = Options(**options)
    visitor = _Counter(_response_encoder(loaded, tokenizer, chosen))
    found = survey(data, loaded, tokenizer, visitor, chosen, workers=workers, watcher=watcher)
    for note, rows in concerning(found.seen.reading, loaded, one_row=False):  # nothing is trained
        (watcher or Watcher()).note(JobNote(JobNoteKind.READING, {"note": note, "rows": rows}))
    counted = found.seen
    require_rows(sum(group.examples for group in counted.groups.values()) + sum(counted.rejected.values()))
    settings = {"template": loaded.name, "retention": loaded.retention, "tokenizer": _tokenizer_name(tokenizer)}
    return Stats(counted, found.sources, tuple(batch_sizes), pack, settings)


def _response_encoder(template: Template, tokenizer: Any, options: Options) -> Encoder | None:
    """Return an encoder that trains all sampled tokens, if the mask choice does not."""
    if options.mask == "all":
        return None
    return open_encoder(template, tokenizer, replace(options, mask="all"))


def _tokenizer_name(tokenizer: Any) -> str:
    if isinstance(tokenizer, str):
        return tokenizer
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def _sum(groups: Iterable[RowGroup]) -> RowGroup:
    total = RowGroup()
    for group in groups:
        total.add(group)
    return total


def _ratio(count: int, of: int) -> float:
    return round(count / of, 6) if of else 0.0


def _padding_share(tokens: int, padded: float) -> float:
    """Return the share of the padded tokens that are padding."""
    return round(1 - tokens / padded, 6) if padded else 0.0
