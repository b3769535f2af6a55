"""A job from its start to its end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from chattmpl.data.job import cluster, pool
from chattmpl.data.job.counters import Counts, total
from chattmpl.data.job.factory import encoder_of, prepared, prompts_of, with_kwargs_of
from chattmpl.data.job.folder import Folder, Output, released
from chattmpl.data.job.identity import difference, identity
from chattmpl.data.job.inputs import Data, check_columns, check_kwargs, mixture_of
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Plan, Shard, plan
from chattmpl.data.job.shard import measure, work
from chattmpl.data.job.summary import Summary, summarize
from chattmpl.data.job.tasks import tasks
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.mixture import Available, draws
from chattmpl.data.writers import schema
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.template.template import Template

ENGINES = ("local", "ray")

_ENOUGH_FAST, _ENOUGH_EXACT = 48 << 20, 2 << 20
"""Bytes of data for which a process more pays, with and without the fast path."""


class Watcher:
    """Is told how a job goes on; the methods of this one do nothing."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def finished_before(self) -> None:
        """Report that an earlier run finished the job, so that nothing is left to do."""
        self.note("this job was finished before")

    def reading(self, name: str) -> None:
        """A file is being read for the first time."""

    def begins(self, what: str, total: int, done: int) -> None:
        """A pass over the data begins, with so many bytes in all, and so many done by an earlier run."""

    def advances(self, weight: int, counts: Counts) -> None:
        """So many bytes more are done."""


def encode(
    data: Data,
    template: Any,
    tokenizer: Any,
    output: str | os.PathLike[str],
    *,
    retention: str | None = None,
    form: str | None = None,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    resume: bool = False,
    force: bool = False,
    watcher: Watcher | None = None,
    **options: Any,
) -> Summary:
    """Encodes data sets of conversations into a data set that trainers take.

    Rows stand in the order of the input, and are the same whatever the number of workers. A row that cannot be encoded
    goes to ``rejected.jsonl`` with the reason, and never stops the job. With more than one worker, a script that calls
    this needs ``if __name__ == "__main__":``.

    Args:
        data: files, folders and patterns, or a mixture (or its .yaml or .toml file).
        template: a `Template`, or what `Template.load` takes.
        tokenizer: what `chattmpl.encode.load_tokenizer` takes.
        output: a folder; or one file, if it ends in .parquet, .arrow or .jsonl.
        retention: which earlier reasoning traces are rendered.
        form: ``parquet``, ``arrow`` or ``jsonl``; by default what ``output`` says, else Parquet.
        workers: how many processes; one for each core if None.
        engine: ``local``, processes of this machine; or ``ray``, a Ray cluster, which writes the same.
        address: of the Ray cluster; the one that this process is connected to, else one of this machine alone, if None.
        resume: go on with a job that was cut off.
        force: replace what is there.
        watcher: is told how it goes.
        **options: ``shape``, ``template_kwargs``, ``clock``, ``straddle``, ``control_tokens``, ``mask``,
            ``max_length`` (tokens) with ``overflow`` (``truncate-turns``, ``reject``, ``truncate-tokens``, ``split``),
            ``unroll`` (one row for each turn that history alters), ``pack`` (tokens of a packed row), ``columns``,
            ``fast`` (``auto``, ``require``, ``off``), ``seed`` (over the mixture's), ``limit`` (rows of each source).

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: something is asked for that does not exist, or the output is there.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    where = Output.named(output, form)  # type: ignore[arg-type]
    chosen = Options(**options, form=where.form)
    loaded = template if isinstance(template, Template) else Template.load(template)
    loaded = loaded if retention is None else loaded.with_retention(retention)
    with released(Folder(where)) as folder:
        where_to_work = _Workplace(engine, address, workers)
        return _Job(data, loaded, tokenizer, chosen, folder, where_to_work, watcher or Watcher()).run(resume, force)


@dataclass(frozen=True)
class _Workplace:
    """Where shards are worked on; see `encode`."""

    engine: str
    address: str | None
    workers: int | None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            hint = did_you_mean(self.engine, ENGINES) or f"there are {', '.join(ENGINES)}"
            raise UsageError(f"there is no engine {self.engine!r}", hint=hint)
        if self.address is not None and self.engine != "ray":
            raise UsageError("address is that of a Ray cluster", hint="--engine ray works on one")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers is at least 1, not {self.workers}")


class _Job:
    def __init__(
        self,
        data: Data,
        template: Template,
        tokenizer: Any,
        options: Options,
        folder: Folder,
        workplace: _Workplace,
        watcher: Watcher,
    ) -> None:
        self.template, self.tokenizer, self.folder, self.watcher = template, tokenizer, folder, watcher
        self.mixture = mixture_of(data)
        self.workplace = workplace
        self.seed = self.mixture.seed if options.seed is None else options.seed
        self.mixture = self.mixture.model_copy(update={"seed": self.seed})
        self.options = options
        check_kwargs(self.mixture, template)

    def run(self, resume: bool, force: bool) -> Summary:
        """Does what is not done yet.

        Raises:
            UsageError: see `encode`.
        """
        self.folder.refuse_impossible()
        known = self.folder.known()
        finished = self.folder.finished() if resume else None
        if not force and not (resume and (known or finished)):
            self.folder.refuse_existing()
        self._settle_clock((known or (finished or {}).get("job")) if resume else None)
        plan_ = plan(self.mixture, limit=self.options.limit, seen=self.watcher.reading, note=self.watcher.note)
        self.folder.refuse_inputs(scan.file.path for source in plan_.sources for scan in source.scans)
        check_columns(plan_)
        job = identity(plan_, self.template, self.tokenizer, self.options, self.seed)
        if finished is not None:
            self._same(finished.get("job", {}), job)
            self.watcher.finished_before()
            return self._summary(finished)
        if resume and known is not None:
            self._same(known, job)
        setup = self._setup(plan_)
        # Before anything of an earlier job is removed: a draw may be refused.
        plan_ = self._drawn(plan_, setup)
        if resume and known is not None:
            self.folder.resume()
        else:
            self.folder.clear()
            self.folder.begin(job)
        return self._encode(plan_, setup, job)

    def _same(self, before: dict[str, Any], job: dict[str, Any]) -> None:
        # What is compared has been through JSON.
        if changed := difference(before, json.loads(json.dumps(job))):
            raise UsageError(
                f"this is not the job that was begun in {self.folder.output.path}: {changed} changed",
                hint="--force starts anew",
            )

    def _settle_clock(self, known: dict[str, Any] | None) -> None:
        """One time for all rows, and for the run that goes on with them."""
        if "strftime_now" not in self.template.source:
            self.options = replace(self.options, clock=None)
        elif self.options.clock is None:
            earlier = ((known or {}).get("options") or {}).get("clock")
            now = datetime.now().replace(microsecond=0)
            self.options = replace(self.options, clock=datetime.fromisoformat(earlier) if earlier else now)

    def _drawn(self, plan_: Plan, setup: Setup) -> Plan:
        """The plan with what is taken of each source, where not all of it is."""
        if not any(source.share is not None or source.epochs is not None for source in self.mixture.sources):
            return plan_
        return replace(plan_, draws=tuple(draws(self.mixture, list(self._available(plan_, setup)))))

    def _encode(self, plan_: Plan, setup: Setup, job: dict[str, Any]) -> Summary:
        shards = plan_.shards(packed=self.options.pack is not None)
        done = {shard.number: counts for shard in shards if (counts := _done(setup, shard)) is not None}
        todo = [shard for shard in shards if shard.number not in done]
        self.watcher.begins("encoding", sum(s.weight for s in shards), sum(s.weight for s in shards if s not in todo))
        for shard, counts in self._each(plan_, setup, todo, work):
            done[shard.number] = counts
            self.watcher.advances(shard.weight, counts)
        counts = total(done[shard.number] for shard in shards)
        rows = [_written(done[shard.number]) for shard in shards]
        paths = [setup.paths(shard.number)[:2] for shard in shards]
        packed = self.options.pack is not None
        self.folder.publish(paths, rows, schema(self.options.all_columns, packed=packed))
        summary = summarize(plan_, job, counts, rows)
        summary["files"] = [path.name for path in self._files(rows)]
        self.folder.end(summary)
        self._tell(counts)
        return self._summary(summary)

    def _files(self, rows: Sequence[int]) -> list[Path]:
        filled = max(1, sum(count > 0 for count in rows))
        return [self.folder.output.data(number, filled) for number in range(1 if self.folder.output.single else filled)]

    def _summary(self, data: dict[str, Any]) -> Summary:
        output = self.folder.output
        folder = output.path.parent if output.single else output.path
        return Summary(data, tuple(folder / name for name in data["files"]), output.rejected)

    def _setup(self, plan_: Plan) -> Setup:
        options = self.options
        keep = ("message_index",) if "message_index" in options.all_columns else ()
        encoder = prepared(encoder_of(self.template, self.tokenizer, options, keep), self.watcher.note)
        files = tuple(tuple(scan.file for scan in source.scans) for source in plan_.sources)
        sources = with_kwargs_of(self.mixture)
        prompts = prompts_of(self.template, self.tokenizer, options)
        return Setup(encoder, options, sources, files, self.seed, self.folder.work, prompts)

    def _available(self, plan_: Plan, setup: Setup) -> Iterator[Available]:
        """What each source has, of what shares are of."""
        rows = [source.rows for source in plan_.sources]
        if not self.mixture.shared or self.mixture.share_of == "examples":
            yield from (Available(count) for count in rows)
            return
        tokens: list[Any] = [np.zeros(count, dtype=np.int64) for count in rows]
        shards = plan_.shards(packed=False)
        self.watcher.begins("counting tokens", sum(shard.weight for shard in shards), 0)
        for shard, lengths in self._each(plan_, setup, shards, measure):
            for source, number, count in lengths:
                tokens[source][number] = count
            self.watcher.advances(shard.weight, {})
        yield from (Available(len(some), some) for some in tokens)

    def _each(self, plan_: Plan, setup: Setup, shards: Sequence[Shard], do: pool.Work) -> Iterator[tuple[Shard, Any]]:
        place, workers = self.workplace, self.workplace.workers
        if place.engine == "ray":
            yield from cluster.run(setup, do, tasks(plan_, shards), workers, place.address)
            return
        if workers is None:
            # A process must load the tokenizer first, and with little to do it would end before it has begun.
            enough = _ENOUGH_FAST if setup.fast else _ENOUGH_EXACT
            workers = max(1, min(pool.cores(), sum(shard.weight for shard in shards) // enough))
        yield from pool.run(setup, do, tasks(plan_, shards), min(workers, len(shards)))

    def _tell(self, counts: Counts) -> None:
        differing = counts.get("paths", {}).get("differing", 0)
        if differing:
            self.watcher.note(
                f"the fast path was wrong in {differing} rows that were compared, and was left: encode anew with "
                "--fast off, and please report it"
            )


def _done(setup: Setup, shard: Shard) -> Counts | None:
    """The counts of a shard that was finished before."""
    try:
        counts = json.loads(setup.paths(shard.number)[2].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return counts if isinstance(counts, dict) else None


def _written(counts: Counts) -> int:
    """How many rows the file of a shard holds."""
    if "pack" in counts:
        return int(counts["pack"]["rows"])
    return sum(int(some.get("samples", 0)) for some in counts.get("sources", {}).values())
