"""Pool of worker processes: shards out, results in, with a bounded number in flight.

This process is one of the workers: it has loaded everything already, and works while the others start.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from chattmpl import bounds
from chattmpl.data.fast.comparison import Sample
from chattmpl.data.job.context import WorkerContext
from chattmpl.data.job.plan import Payloads, Shard
from chattmpl.errors import ChatTmplError

Work = Callable[[WorkerContext, Shard, Payloads], Any]
Task = tuple[Shard, Payloads]

_AHEAD = 1
"""Number of shards that are queued, so that no worker waits for one."""

_POLL = 0.5
"""Seconds between two reports of progress while only other processes work."""

_DEATHS = 3
"""Number of killed workers after which the job gives up."""


class WorkerDied(ChatTmplError):
    """Worker processes were killed repeatedly, perhaps for lack of memory."""


def run(context: WorkerContext, work: Work, tasks: Iterable[Task], workers: int) -> Iterator[tuple[Shard, Any]]:
    """Yield the results of shards as they are finished.

    Args:
        context: the state of each worker.
        work: the work on a shard, a function that can be pickled.
        tasks: the shards, with the bytes of the parts that a worker cannot read itself.
        workers: number of processes, including this one.

    Raises:
        WorkerDied: workers were killed.
        ChatTmplError: the work raised it.
    """
    if workers <= 1:
        for task in tasks:
            yield _work_here(context, work, task)
        return
    yield from _Pool(context, work, workers - 1).run(iter(tasks))


def _work_here(context: WorkerContext, work: Work, task: Task) -> tuple[Shard, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return task[0], work(context, *task)


class _Pool:
    def __init__(self, context: WorkerContext, work: Work, workers: int) -> None:
        self.context, self.work, self.workers = context, work, workers
        self.deaths = 0
        self.pool = self._start()
        self.running: dict[Future[Any], Task] = {}

    def _start(self) -> ProcessPoolExecutor:
        method = multiprocessing.get_context("fork" if can_fork() else "spawn")
        return ProcessPoolExecutor(self.workers, method, _start_worker, (self.context, self.work))

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Shard, Any]]:
        try:
            while True:
                while len(self.running) < self.workers + _AHEAD and (task := next(tasks, None)) is not None:
                    self._submit(task)
                own = next(tasks, None)
                if own is not None:
                    yield _work_here(self.context, self.work, own)
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
            self._restart([task])

    def _finished(self, timeout: float | None) -> Iterator[tuple[Shard, Any]]:
        while (
            not (done := wait(self.running, _POLL if timeout is None else timeout, return_when=FIRST_COMPLETED)[0])
            and timeout is None
        ):
            self.context.meter.show()
        for future in done:
            task = self.running.get(future)
            if task is None:
                continue  # the pool was restarted with this task
            try:
                result, samples = future.result()
            except BrokenProcessPool:
                self._restart([])
                return
            del self.running[future]
            if self.context.encoder.confirms(samples):
                yield task[0], result
            else:  # this process finds the difference again, and goes on by the exact path
                yield _work_here(self.context, self.work, task)

    def _restart(self, more: list[Task]) -> None:
        """Restart the pool with its tasks; a shard is written completely or not at all, so nothing is lost."""
        tasks = [*self.running.values(), *more]
        self.running = {}
        self.deaths += 1
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.deaths >= _DEATHS:
            raise WorkerDied(
                f"worker processes were killed {self.deaths} times, perhaps for lack of memory",
                hint="use fewer --workers; --resume continues from here",
            )
        self.pool = self._start()
        for task in tasks:
            self._submit(task)

    def _stop(self) -> None:
        """Stop the workers now; unfinished shards will be done again."""
        processes = list((getattr(self.pool, "_processes", None) or {}).values())
        manager = getattr(self.pool, "_executor_manager_thread", None)
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        # The exit of the interpreter would wake this thread while it closes the pipe for that.
        for each in (*processes, *filter(None, (manager,))):
            each.join(5)


_state: list[tuple[WorkerContext, Work]] = []
"""The state of this worker process."""


def _start_worker(context: WorkerContext, work: Work) -> None:
    """Set up a worker process: it exits when its parent does, and leaves interrupts to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the other cores have workers of their own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    bounds.enforce(anew=True)
    warnings.simplefilter("ignore")  # the parent has shown them, and new ones are part of the counts
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()
    context.encoder.hand_over_samples()
    _state[:] = [(context, work)]


def _exit_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _do(shard: Shard, payloads: Payloads) -> tuple[Any, list[Sample]]:
    """Work on a shard; return the result, and the rows that the first process compares with the exact path."""
    context, work = _state[0]
    return work(context, shard, payloads), context.encoder.hand_over_samples()


def can_fork() -> bool:
    """Return true if a fork of this process can work: it has only this thread.

    A fork has everything that was loaded, so it begins at once, but a lock that another thread holds, of Python or of a
    library, would never be released in it. Only Linux shows the threads of libraries; on macOS forks are not safe.
    """
    try:
        return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
