"""Work over the shards of a plan on processes of this machine or on a Ray cluster; shared by jobs and surveys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chattmpl.data.job import cluster, pool
from chattmpl.data.job.context import WorkerContext
from chattmpl.data.job.events import Phase, Watcher
from chattmpl.data.job.plan import Plan, Shard
from chattmpl.data.job.shard import count_tokens
from chattmpl.data.mixture import Available, draw_rows
from chattmpl.errors import UsageError
from chattmpl.options import check_options


@dataclass(frozen=True)
class Workplace:
    """The processes that work on shards.

    Attributes:
        workers: number of processes; by default as many as are worth starting.
        engine: ``local`` or ``ray``.
        address: address of the Ray cluster.
    """

    workers: int | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        check_options(engine=self.engine, workers=self.workers)
        if self.address is not None and self.engine != "ray":
            raise UsageError("address is only for a Ray cluster", hint="add --engine ray")


@dataclass(frozen=True)
class Runner:
    """Runner of work over shards.

    Attributes:
        context: the state of each worker.
        workplace: the processes.
        watcher: receives the progress of counting tokens.
        bytes_per_worker: bytes of data for which a process is worth starting that has to load everything first.
    """

    context: WorkerContext
    workplace: Workplace
    watcher: Watcher
    bytes_per_worker: int

    def run(self, plan: Plan, shards: Sequence[Shard], work: pool.Work) -> Iterator[tuple[Shard, Any]]:
        """Yield the results of shards as they are finished."""
        self.context.meter.start(self.watcher.reads)
        place, workers = self.workplace, self.workplace.workers
        if place.engine == "ray":
            yield from cluster.run(self.context, work, plan.tasks(shards), workers, place.address)
            return
        if workers is None:
            weight = sum(shard.weight for shard in shards)
            workers = len(shards) if pool.can_fork() else weight // self.bytes_per_worker
            workers = max(1, min(pool.cores(), workers))
        yield from pool.run(self.context, work, plan.tasks(shards), min(workers, len(shards)))

    def draw(self, plan: Plan) -> Plan:
        """Return the plan with the rows that are drawn from each source; unchanged if all rows are.

        Raises:
            UsageError: see `draw_rows`.
        """
        if all(source.share is None and source.epochs is None for source in plan.mixture.sources):
            return plan
        return replace(plan, draws=tuple(draw_rows(plan.mixture, self._available(plan))))

    def _available(self, plan: Plan) -> list[Available]:
        """Return the rows of each source, with their tokens if shares are of tokens."""
        rows = [source.rows for source in plan.sources]
        if not plan.mixture.has_shares or plan.mixture.share_of == "examples":
            return [Available(count) for count in rows]
        tokens: list[Any] = [np.zeros(count, dtype=np.int64) for count in rows]
        shards = plan.shards()
        self.watcher.begins(Phase.COUNT, sum(shard.weight for shard in shards), 0)
        for shard, lengths in self.run(plan, shards, count_tokens):
            for source, number, count in lengths:
                tokens[source][number] = count
            self.watcher.advances(shard.weight, {})
        return [Available(len(some), some) for some in tokens]
