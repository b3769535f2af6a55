"""Encode jobs from start to end."""

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

from chattmpl.data.job.context import WorkerContext, total
from chattmpl.data.job.events import Counts, JobNote, JobNoteKind, Phase, Watcher
from chattmpl.data.job.options import JobOptions, Options
from chattmpl.data.job.output import JobOutput, WorkFolder
from chattmpl.data.job.plan import Data, Plan, Shard, check_columns, check_kwargs, make_plan, read_mixture
from chattmpl.data.job.record import Summary, describe_changes, identify, summarize
from chattmpl.data.job.runner import Runner, Workplace
from chattmpl.data.job.shard import encode_shard
from chattmpl.data.reading import concerning, from_counts
from chattmpl.data.writers import schema
from chattmpl.encode import template_for
from chattmpl.errors import UsageError
from chattmpl.template.template import Template

_BYTES_PER_WORKER_FAST, _BYTES_PER_WORKER_EXACT = 48 << 20, 2 << 20

_SMALL = 1 << 19
"""Bytes of data that the exact path encodes in less time than the check of the fast path takes."""


def encode_dataset(
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
    **options: Unpack[JobOptions],
) -> Summary:
    """Encode datasets of conversations into a dataset for trainers.

    Rows are in the order of the input, whatever the number of workers. A row that cannot be encoded goes to
    ``rejected.jsonl`` with the reason, and never stops the job. With more than one worker, a script that calls this
    needs ``if __name__ == "__main__":``.

    Args:
        data: files, folders and patterns; or a mixture, or its .yaml or .toml file.
        template: a `Template`, or what `Template.load` accepts.
        tokenizer: what `chattmpl.encode.load_tokenizer` accepts.
        output: a folder; or one file, if it ends in .parquet, .arrow or .jsonl.
        retention: retention policy for earlier reasoning traces.
        form: ``parquet``, ``arrow`` or ``jsonl``; by default that of ``output``, else Parquet.
        workers: number of processes; by default at most one per core.
        engine: ``local`` for processes of this machine, ``ray`` for a Ray cluster, with the same result.
        address: address of the Ray cluster; by default the connected cluster, else a local one.
        resume: continue an interrupted job.
        force: replace an existing output.
        watcher: receives the progress.
        **options: see `JobOptions`.

    Raises:
        ConversationError: data are missing, unreadable or empty.
        UsageError: an argument is invalid, or the output exists.
        TemplateError, EncodeError: the template or the tokenizer cannot be used.
    """
    target = JobOutput.at(os.fspath(output), form)
    chosen = Options(**options, form=target.form)
    loaded = template_for(template, tokenizer, retention)
    with closing(WorkFolder(target)) as folder:
        workplace = Workplace(workers, engine, address)
        return _Job(data, loaded, tokenizer, chosen, folder, workplace, watcher or Watcher()).run(resume, force)


class _Job:
    def __init__(
        self,
        data: Data,
        template: Template,
        tokenizer: Any,
        options: Options,
        folder: WorkFolder,
        workplace: Workplace,
        watcher: Watcher,
    ) -> None:
        self.template, self.tokenizer, self.options = template, tokenizer, options
        self.folder, self.workplace, self.watcher = folder, workplace, watcher
        mixture = read_mixture(data)
        seed = mixture.seed if options.seed is None else options.seed
        self.mixture = mixture.model_copy(update={"seed": seed})
        check_kwargs(self.mixture, template)

    def run(self, resume: bool, force: bool) -> Summary:
        """Do the remaining work.

        Raises:
            UsageError: see `encode_dataset`.
        """
        self.folder.refuse_impossible()
        known = self.folder.known()
        finished = self.folder.finished() if resume else None
        if not force and not (resume and (known or finished)):
            self.folder.refuse_existing()
        self._set_clock((known or (finished or {}).get("job")) if resume else None)
        plan = make_plan(self.mixture, limit=self.options.limit, watcher=self.watcher)
        self.folder.refuse_inputs(file.path for files in plan.files for file in files)
        check_columns(plan)
        job = identify(plan, self.template, self.tokenizer, self.options)
        if finished is not None:
            self._check_same(finished.get("job", {}), job)
            self.watcher.note(JobNote(JobNoteKind.FINISHED_BEFORE))
            return self._summary(finished)
        if resume and known is not None:
            self._check_same(known, job)
        runner = self._runner(plan)
        # Before the output of an earlier job is removed: a draw may be refused.
        plan = runner.draw(plan)
        if resume and known is not None:
            self.folder.lock()
        else:
            self.folder.clear()
            self.folder.begin(job)
        return self._encode(plan, runner, job)

    def _check_same(self, before: dict[str, Any], job: dict[str, Any]) -> None:
        # The earlier identity was read from JSON.
        if changed := describe_changes(before, json.loads(json.dumps(job))):
            raise UsageError(
                f"this is not the job that was started in {self.folder.output.path}: {changed} changed",
                hint="--force starts over",
            )

    def _set_clock(self, known: dict[str, Any] | None) -> None:
        """Set one time for all rows, also for those of a resumed job."""
        if "strftime_now" not in self.template.source:
            self.options = replace(self.options, clock=None)
        elif self.options.clock is None:
            earlier = ((known or {}).get("options") or {}).get("clock")
            now = datetime.now().replace(microsecond=0)
            self.options = replace(self.options, clock=datetime.fromisoformat(earlier) if earlier else now)

    def _runner(self, plan: Plan) -> Runner:
        keep = ("message_index",) if "message_index" in self.options.all_columns else ()
        options = self.options
        if options.fast == "auto" and sum(shard.weight for shard in plan.shards()) < _SMALL:
            options = replace(options, fast="off")
        context = WorkerContext.open(
            self.template,
            self.tokenizer,
            options,
            self.mixture,
            plan=plan,
            keep=keep,
            folder=self.folder.work,
            watcher=self.watcher,
        )
        fast = context.encoder.report().engine is not None
        enough = _BYTES_PER_WORKER_FAST if fast else _BYTES_PER_WORKER_EXACT
        return Runner(context, self.workplace, self.watcher, enough)

    def _encode(self, plan: Plan, runner: Runner, job: dict[str, Any]) -> Summary:
        packed = self.options.pack is not None
        shards = plan.shards(packed=packed)
        done = {shard.number: counts for shard in shards if (counts := _read_counts(runner.context, shard)) is not None}
        todo = [shard for shard in shards if shard.number not in done]
        weights = {shard.number: shard.weight for shard in shards}
        self.watcher.begins(Phase.ENCODE, sum(weights.values()), sum(weights[number] for number in done))
        for shard, counts in runner.run(plan, todo, encode_shard):
            done[shard.number] = counts
            self.watcher.advances(shard.weight, counts)
        counts = total(done[shard.number] for shard in shards)
        rows = [_rows_written(done[shard.number]) for shard in shards]
        paths = [runner.context.paths(shard.number)[:2] for shard in shards]
        self.folder.publish(paths, rows, schema(self.options.all_columns, packed=packed))
        summary = summarize(plan, job, counts, rows)
        summary["files"] = [path.name for path in self._files(rows)]
        self.folder.end(summary)
        if differing := counts.get("paths", {}).get("differing", 0):
            self.watcher.note(JobNote(JobNoteKind.FAST_PATH_WRONG, {"rows": differing}))
        return self._summary(summary)

    def _files(self, rows: Sequence[int]) -> list[Path]:
        filled = max(1, sum(count > 0 for count in rows))
        return [self.folder.output.data(number, filled) for number in range(1 if self.folder.output.single else filled)]

    def _summary(self, data: dict[str, Any]) -> Summary:
        notes = from_counts(data.get("reading", {}))
        for note, rows in concerning(notes, self.template, one_row=self.options.one_row):
            self.watcher.note(JobNote(JobNoteKind.READING, {"note": note, "rows": rows}))
        output = self.folder.output
        folder = output.path.parent if output.single else output.path
        return Summary(
            data, tuple(folder / name for name in data["files"]), output.rejected, output.summary, output.single
        )


def _read_counts(context: WorkerContext, shard: Shard) -> Counts | None:
    """Return the counts of a shard that was finished before."""
    try:
        counts = json.loads(context.paths(shard.number)[2].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return counts if isinstance(counts, dict) else None


def _rows_written(counts: Counts) -> int:
    """Return the number of rows in the file of a shard."""
    if "pack" in counts:
        return int(counts["pack"]["rows"])
    return sum(int(some.get("samples", 0)) for some in counts.get("sources", {}).values())
