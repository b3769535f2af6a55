"""Work on a Ray cluster: shards and their bytes out, files back, so that no disk has to be shared."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chattmpl import bounds
from chattmpl.data.job.context import WorkerContext
from chattmpl.data.job.plan import Payloads, Shard
from chattmpl.data.job.pool import Task, Work, WorkerDied, cores
from chattmpl.data.sources import load
from chattmpl.encode import load_tokenizer
from chattmpl.encode.tokenizer_loader import tokenizer_files
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.template.writer import replacing

_AHEAD = 1
"""Number of shards queued on the cluster, so that no worker waits for this process."""

_DEATHS = 3
"""Number of times that a shard is retried after its worker was killed."""


def run(
    context: WorkerContext, work: Work, tasks: Iterable[Task], workers: int | None, address: str | None
) -> Iterator[tuple[Shard, Any]]:
    """Yield the results of shards as they are finished; their files are written to this machine.

    Args:
        context: the state of each worker.
        work: the work on a shard, a function that can be pickled.
        tasks: the shards, with the bytes of the parts that are streamed.
        workers: number of shards in progress; by default one per core of the cluster.
        address: address of the cluster, as for ``ray.init``; by default the connected cluster, else a local one that is
            started and stopped.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
        WorkerDied: workers were killed.
        ChatTmplError: the work raised it.
    """
    ray = _ray()
    started = _connect(ray, address, workers)
    try:
        yield from _run(ray, context, work, iter(tasks), workers)
    finally:
        if started:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs ray, which is not installed", hint="pip install 'chattmpl[ray]'") from None
    return ray


def _connect(ray: Any, address: str | None, workers: int | None) -> bool:
    """Connect to the cluster; return true if the connection is new."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        options |= {"address": "local", "num_cpus": workers or cores(), "include_dashboard": False}
    else:
        options["address"] = address
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        problem = f"cannot use Ray at {address or 'this machine'}: {reason}"
        raise UsageError(problem, hint="check the cluster with ray status") from None
    return True


def _run(
    ray: Any, context: WorkerContext, work: Work, tasks: Iterator[Task], workers: int | None
) -> Iterator[tuple[Shard, Any]]:
    if workers is None:
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    shared = ray.put(ShippedContext.of(context))
    begin = ray.remote(max_retries=_DEATHS)(_do)
    running: dict[Any, Shard] = {}
    try:
        while True:
            while len(running) < workers + _AHEAD and (task := next(tasks, None)) is not None:
                shard, payloads = task
                running[begin.remote(shared, work, shard, _all_payloads(context, shard, payloads))] = shard
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                shard = running.pop(reference)
                result, files = _get(ray, reference)
                for name, data in files:
                    with replacing(context.folder / name) as file:
                        file.write(data)
                yield shard, result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _get(ray: Any, reference: Any) -> tuple[Any, list[tuple[str, bytes]]]:
    try:
        result: tuple[Any, list[tuple[str, bytes]]] = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ChatTmplError):
            raise error.cause from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        raise WorkerDied(
            f"worker processes were killed {_DEATHS + 1} times, perhaps for lack of memory",
            hint="use fewer --workers; --resume continues from here",
        ) from None
    return result


def _all_payloads(context: WorkerContext, shard: Shard, payloads: Payloads) -> list[bytes]:
    """Return the bytes of all parts of a shard: a worker may have no access to the files."""
    return [
        load(context.files[part.source][part.file], part.chunk) if payload is None else payload
        for part, payload in zip(shard.parts, payloads, strict=True)
    ]


@dataclass(frozen=True)
class ShippedContext:
    """The state of a worker with the files of the tokenizer.

    Attributes:
        key: identifies the job.
        context: the state.
        files: names and bytes of the tokenizer's files; none if it is not a path.
        folder: true if the tokenizer is the folder of the files, false if it is the first of them.
    """

    key: str
    context: WorkerContext
    files: tuple[tuple[str, bytes], ...]
    folder: bool

    @classmethod
    def of(cls, context: WorkerContext) -> ShippedContext:
        """Read the files that the context needs."""
        tokenizer = context.encoder.tokenizer_source
        files = tokenizer_files(tokenizer) if isinstance(tokenizer, str | Path) else []
        read = tuple((path.name, path.read_bytes()) for path in files)
        return cls(uuid.uuid4().hex, context, read, isinstance(tokenizer, str | Path) and Path(tokenizer).is_dir())

    def unpack(self) -> WorkerContext:
        """Return the context for a process on any machine."""
        if self.files:
            with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
                for name, data in self.files:
                    (Path(folder) / name).write_bytes(data)
                loaded = load_tokenizer(folder if self.folder else Path(folder) / self.files[0][0])
            self.context.encoder.use_tokenizer(loaded)
        return self.context


_contexts: dict[str, WorkerContext] = {}
"""The context of this process, by the key of its job."""


def _do(shared: ShippedContext, work: Work, shard: Shard, payloads: list[bytes]) -> tuple[Any, list[tuple[str, bytes]]]:
    """Work on a shard in a process of the cluster; return the result and the files that were written."""
    # The cluster counts one core per worker.
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")  # the caller has shown them, and new ones are part of the counts
    if shared.key not in _contexts:
        _contexts.clear()
        _contexts[shared.key] = shared.unpack()
    context = _contexts[shared.key]
    with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
        # The process belongs to the cluster, which may give it other work afterwards.
        with bounds.enforced():
            result = work(replace(context, folder=Path(folder)), shard, payloads)
        # The counts, which mark a shard as done, are written last.
        order = sorted(Path(folder).iterdir(), key=lambda path: (path.suffix == ".json", path.name))
        return result, [(path.name, path.read_bytes()) for path in order]
