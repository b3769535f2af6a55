"""Worker processes: shards out, results in, with a bounded number under way.

This process is one of the workers, for it has loaded all that is needed, and the others begin while it is at work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any

from chattmpl.data.job.plan import Shard
from chattmpl.data.job.worker_context import Setup
from chattmpl.errors import ChatTmplError

Payloads = Sequence[bytes | None]
Work = Callable[[Setup, Shard, Payloads], Any]
Task = tuple[Shard, Payloads]

_AHEAD = 1
"""Shards that wait for a worker, so that none waits for a shard."""

_DEATHS = 3
"""How often a worker may die before the job gives up."""


class WorkerDied(ChatTmplError):
    """Worker processes were killed again and again, perhaps for want of memory."""


def run(setup: Setup, work: Work, tasks: Iterable[Task], workers: int) -> Iterator[tuple[Shard, Any]]:
    """The results of shards, as they are done.

    Args:
        setup: what each worker has.
        work: what to do, a function that can be pickled.
        tasks: the shards, with the bytes of the parts that a worker cannot read by itself.
        workers: how many processes, this one included.

    Raises:
        WorkerDied: workers were killed.
        ChatTmplError: as the work does.
    """
    if workers <= 1:
        for task in tasks:
            yield _here_and_now(setup, work, task)
        return
    yield from _Pool(setup, work, workers - 1).run(iter(tasks))


def _here_and_now(setup: Setup, work: Work, task: Task) -> tuple[Shard, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return task[0], work(setup, *task)


class _Pool:
    def __init__(self, setup: Setup, work: Work, workers: int) -> None:
        self.setup, self.work, self.workers = setup, work, workers
        self.deaths = 0
        self.pool = self._start()
        self.running: dict[Future[Any], Task] = {}

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, _begin, (self.setup, self.work))

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Shard, Any]]:
        try:
            while True:
                while len(self.running) < self.workers + _AHEAD and (task := next(tasks, None)) is not None:
                    self._submit(task)
                own = next(tasks, None)
                if own is not None:
                    yield _here_and_now(self.setup, self.work, own)
                if not self.running:
                    break
                yield from self._finished(None if own is None else 0)
            self.pool.shutdown()
        except BaseException:
            self._stop()
            raise

    def _submit(self, task: Task) -> None:
        try:
            self.running[self.pool.submit(_do, *task)] = task
        except BrokenProcessPool:
            self._again([task])

    def _finished(self, timeout: float | None) -> Iterator[tuple[Shard, Any]]:
        done, _ = wait(self.running, timeout, return_when=FIRST_COMPLETED)
        for future in done:
            task = self.running.get(future)
            if task is None:
                continue  # the pool was started anew, with this task
            try:
                result = future.result()
            except BrokenProcessPool:
                self._again([])
                return
            del self.running[future]
            yield task[0], result

    def _again(self, more: list[Task]) -> None:
        """Starts the pool anew with what it had to do; a shard is written whole or not at all, so nothing is lost."""
        tasks = [*self.running.values(), *more]
        self.running = {}
        self.deaths += 1
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.deaths >= _DEATHS:
            raise WorkerDied(
                f"worker processes were killed {self.deaths} times, perhaps for want of memory",
                hint="use fewer --workers; --resume goes on from here",
            )
        self.pool = self._start()
        for task in tasks:
            self._submit(task)

    def _stop(self) -> None:
        """Ends the workers now: what they have not finished will be done again."""
        processes = list((getattr(self.pool, "_processes", None) or {}).values())
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)


_here: list[tuple[Setup, Work]] = []


def _begin(setup: Setup, work: Work) -> None:
    """Prepares a worker process: it ends when its parent does, and leaves interrupts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # the parent has said it, and what is new comes back with the counts
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _here[:] = [(setup, work)]


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _do(shard: Shard, payloads: Payloads) -> Any:
    setup, work = _here[0]
    return work(setup, shard, payloads)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
