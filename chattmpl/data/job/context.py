"""Shared state of workers: the encoder, the options, the sources, and the counts that they report."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chattmpl.data.encoder import Encoder, FastPathWarning
from chattmpl.data.job.events import Counts, JobNote, JobNoteKind, Meter, Watcher
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Plan, ShardPart
from chattmpl.data.mixture import Mixture, MixtureSource
from chattmpl.data.sources import DataFile
from chattmpl.data.template_notes import TemplateWarning
from chattmpl.printable import row_place
from chattmpl.template.template import Template


def open_encoder(template: Template, tokenizer: Any, options: Options, keep: Sequence[str] = ()) -> Encoder:
    """Create the encoder for the options; see `Encoder` for ``keep``. It is not prepared yet."""
    return Encoder(
        template,
        tokenizer,
        fast=options.fast,
        straddle=options.straddle,
        control_tokens=options.control_tokens,
        mask=options.mask,
        rows=options.rows,
        mask_from=options.mask_from,
        arguments=options.arguments,
        template_kwargs=options.template_kwargs,
        clock=options.clock,
        keep=keep,
    )


@dataclass(frozen=True)
class WorkerContext:
    """State of every worker of a job, sent to it once.

    Attributes:
        encoder: encodes conversations.
        options: the options of the job.
        sources: the sources, with the kwargs of the mixture.
        files: the files of each source.
        seed: seed of the draw.
        folder: folder of the shards.
        meter: counts the bytes that were read.
    """

    encoder: Encoder
    options: Options
    sources: tuple[MixtureSource, ...]
    files: tuple[tuple[DataFile, ...], ...]
    seed: int
    folder: Path
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def open(
        cls,
        template: Template,
        tokenizer: Any,
        options: Options,
        mixture: Mixture,
        *,
        plan: Plan | None = None,
        keep: Sequence[str] = (),
        folder: Path = Path(),
        watcher: Watcher | None = None,
        template_notes: bool = True,
    ) -> WorkerContext:
        """Open the encoder and everything else that workers need.

        Args:
            template: renders the rows.
            tokenizer: what `chattmpl.encode.load_tokenizer` accepts.
            options: the options of the job.
            mixture: the sources.
            plan: their files; none for rows in memory.
            keep: optional attributes of rows; see `Encoder`.
            folder: folder of the shards.
            watcher: receives the notes on the template, and a note if there is no fast path, which is checked now;
                without a watcher, it is checked with the first row.
            template_notes: whether the watcher receives the notes on the template.
        """
        encoder = open_encoder(template, tokenizer, options, keep)
        if watcher is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FastPathWarning)
                warnings.simplefilter("ignore", TemplateWarning)
                encoder.prepare()
            for note in encoder.template_notes if template_notes else ():
                watcher.note(JobNote(JobNoteKind.TEMPLATE, {"note": note}))
            report = encoder.report()
            if options.fast == "auto" and report.engine is None:
                data = {"template": template.name, "reasons": report.notes}
                watcher.note(JobNote(JobNoteKind.NO_FAST_PATH, data))
        sources = tuple(
            source.model_copy(
                update={"chat_template_kwargs": {**mixture.chat_template_kwargs, **source.chat_template_kwargs}}
            )
            for source in mixture.sources
        )
        return cls(encoder, options, sources, plan.files if plan else (), mixture.seed, folder)

    def report(self) -> Counts:
        """Return the counts of the encoder in this process: rows of each path, and differences found."""
        report = self.encoder.report()
        return {
            "fast": report.fast.total(),
            "exact": report.exact.total(),
            "compared": report.checked,
            "differing": len(report.disagreements),
        }

    def name(self, part: ShardPart) -> str:
        """Return the name of a part's source."""
        return self.sources[part.source].name

    def path(self, part: ShardPart) -> str:
        """Return the path of a part's file."""
        return self.files[part.source][part.file].path

    def place(self, part: ShardPart, number: int, line: int | None) -> str:
        """Return the place of a row: ``file:line``, or ``file[index]`` in tables."""
        return row_place(self.path(part), line, number)

    def paths(self, number: int) -> tuple[Path, Path, Path]:
        """Return a shard's files of data, rejected rows and counts; the counts are written last."""
        name = self.folder / f"shard-{number:05d}"
        return (
            name.with_suffix(f".{self.options.form}"),
            name.with_suffix(".rejected.jsonl"),
            name.with_suffix(".json"),
        )


# -- counts


def add(counts: Counts, more: Counts) -> None:
    """Add counts to counts, group by group."""
    for name, value in more.items():
        if isinstance(value, dict):
            add(counts.setdefault(name, {}), value)
        else:
            counts[name] = counts.get(name, 0) + value


def total(each: Iterable[Counts]) -> Counts:
    """Return the sum of counts."""
    counts: Counts = {}
    for some in each:
        add(counts, some)
    return counts


def count(counts: Counts, *path: str, by: int = 1) -> None:
    """Increase one number."""
    *groups, name = path
    for group in groups:
        counts = counts.setdefault(group, {})
    counts[name] = counts.get(name, 0) + by
