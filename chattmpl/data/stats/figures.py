"""The figures of data sets, as `chattmpl stats` tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from chattmpl.data.encoder import Encoder
from chattmpl.data.job import Options, Watcher
from chattmpl.data.job.factory import encoder_of
from chattmpl.data.stats.groups import Counted, Counting, Group
from chattmpl.data.stats.lengths import PERCENTILES, histogram, percentile
from chattmpl.data.stats.padding import packed_rows, padded_random, padded_sorted
from chattmpl.data.survey import Data, survey
from chattmpl.data.survey.reasoning_mode import MODES
from chattmpl.data.survey.visit import refuse_nothing
from chattmpl.errors import UsageError
from chattmpl.template.template import Template

BATCH_SIZES = (8, 32)


@dataclass(frozen=True)
class Stats:
    """The figures.

    Attributes:
        counted: what was counted.
        sources: the names of the sources, in order.
        batch_sizes: for which padding is told.
        pack: tokens of a packed row; the next power of two above the longest row if None.
        said: what was asked for, to be told with the figures.
    """

    counted: Counted
    sources: tuple[str, ...]
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    pack: int | None = None
    said: dict[str, Any] | None = None

    @property
    def total(self) -> Group:
        """All rows."""
        return _sum(self.counted.groups.values())

    def source(self, name: str) -> Group:
        """The rows of a source."""
        return _sum(group for (source, _), group in self.counted.groups.items() if source == name)

    def mode(self, name: str) -> Group:
        """The rows of a reasoning mode."""
        return _sum(group for (_, mode), group in self.counted.groups.items() if mode == name)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON; docs/stats.md defines each."""
        total = self.total
        groups = []
        for source in self.sources:
            own = [mode for mode in MODES if (source, mode) in self.counted.groups]
            groups += [self._figures(source, mode, self.counted.groups[source, mode], total) for mode in own]
        return {
            **(self.said or {}),
            "total": self._figures(None, None, total, total),
            "sources": [self._figures(name, None, self.source(name), total) for name in self.sources],
            "modes": [self._figures(None, mode, some, total) for mode in MODES if (some := self.mode(mode)).examples],
            "groups": groups,
            "histogram": [self._bar(index, bar) for index, bar in enumerate(histogram(total.lengths))],
            "padding": self._padding(total),
            "rejected": self._rejected(),
        }

    def _figures(self, source: str | None, mode: str | None, group: Group, total: Group) -> dict[str, Any]:
        context = group.tokens - group.responses
        said: dict[str, Any] = {
            "source": source,
            "mode": mode,
            "examples": group.examples,
            "share_of_examples": _part(group.examples, total.examples),
            "tokens": group.tokens,
            "tokens_millions": round(group.tokens / 1e6, 6),
            "share_of_tokens": _part(group.tokens, total.tokens),
            "mean_tokens": _part(group.tokens, group.examples),
            "context_tokens": context,
            "mean_context_tokens": _part(context, group.examples),
            "response_tokens": group.responses,
            "mean_response_tokens": _part(group.responses, group.examples),
            "supervised_tokens": group.supervised,
            "supervised_share": _part(group.supervised, group.tokens),
            "mean_turns": _part(group.turns, group.examples),
            "mean_assistant_turns": _part(group.assistant_turns, group.examples),
        }
        lengths = group.lengths
        said |= {f"p{percent}": round(percentile(lengths, percent), 6) if lengths else 0 for percent in PERCENTILES}
        return {**said, "min": min(lengths, default=0), "max": max(lengths, default=0)}

    def _bar(self, index: int, bar: Any) -> dict[str, Any]:
        modes = {mode: self.mode(mode).lengths for mode in MODES}
        counts = {
            mode: sum(count for length, count in lengths.items() if bar.start <= length < bar.end)
            for mode, lengths in modes.items()
            if lengths
        }
        return {**asdict(bar), "modes": counts}

    def _padding(self, total: Group) -> dict[str, Any]:
        lengths = total.lengths
        if not lengths:
            return {"batches": [], "packed": None}
        batches = [
            {
                "batch_size": size,
                "random": _lost(total.tokens, padded_random(lengths, size)),
                "sorted": _lost(total.tokens, padded_sorted(lengths, size)),
            }
            for size in self.batch_sizes
        ]
        size = self.pack or 1 << (max(lengths) - 1).bit_length()
        rows = packed_rows(lengths, size)
        fitting = sum(min(length, size) * count for length, count in lengths.items())
        packed = {
            "size": size,
            "rows": rows,
            "lost": _lost(fitting, rows * size),
            "cut_examples": sum(count for length, count in lengths.items() if length > size),
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
    **options: Any,
) -> Stats:
    """Counts what a data set holds, once it is encoded.

    Args:
        data: files, folders, patterns, a mixture; or records, a ``datasets.Dataset``, or several of them by name.
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        retention: which earlier reasoning traces are rendered.
        batch_sizes: rows of a batch, for padding.
        pack: tokens of a packed row; the next power of two above the longest row if None.
        workers: how many processes; as many as pay if None.
        watcher: is told how it goes.
        **options: ``shape``, ``template_kwargs``, ``clock``, ``straddle``, ``control_tokens``, ``mask``, ``fast``,
            ``seed``, ``limit``, as for `chattmpl.data.job.encode`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: something is asked for that does not exist.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    for name, numbers in (("a batch size", batch_sizes), ("pack", () if pack is None else (pack,))):
        for number in numbers:
            if number < 1:
                raise UsageError(f"{name} is at least 1, not {number}")
    loaded = template if isinstance(template, Template) else Template.load(template)
    loaded = loaded if retention is None else loaded.with_retention(retention)
    chosen = Options(**options)
    found = survey(
        data,
        loaded,
        tokenizer,
        Counting(_sampling(loaded, tokenizer, chosen)),
        chosen,
        workers=workers,
        watcher=watcher,
    )
    counted = found.seen
    refuse_nothing(sum(group.examples for group in counted.groups.values()) + sum(counted.rejected.values()))
    said = {"template": loaded.name, "retention": loaded.retention, "tokenizer": str(_named(tokenizer))}
    return Stats(counted, found.sources, tuple(batch_sizes), pack, said)


def _sampling(template: Template, tokenizer: Any, options: Options) -> Encoder | None:
    """What tells the tokens that the model samples, where the mask is a choice of them."""
    if options.mask == "all":
        return None
    return encoder_of(template, tokenizer, replace(options, mask="all"), ())


def _named(tokenizer: Any) -> str:
    return (
        tokenizer if isinstance(tokenizer, str) else getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    )


def _sum(groups: Any) -> Group:
    total = Group()
    for group in groups:
        total.add(group)
    return total


def _part(count: int, of: int) -> float:
    return round(count / of, 6) if of else 0.0


def _lost(tokens: int, padded: float) -> float:
    """The share of padded tokens that are padding."""
    return round(1 - tokens / padded, 6) if padded else 0.0
