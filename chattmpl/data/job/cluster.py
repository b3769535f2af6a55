"""The work of a job on a Ray cluster: shards and their bytes out, files back, so that no disk need be shared."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chattmpl.data.encoder import Encoder
from chattmpl.data.job.identity import tokenizer_files
from chattmpl.data.job.plan import Shard
from chattmpl.data.job.pool import Payloads, Task, Work, WorkerDied, cores
from chattmpl.data.job.worker_context import Setup
from chattmpl.data.sources import load
from chattmpl.encode import load_tokenizer
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.template.writer import replacing

_AHEAD = 1
"""Shards that wait on the cluster, so that no worker waits for this process."""

_DEATHS = 3
"""How often a shard is begun again after its worker was killed."""


def run(
    setup: Setup, work: Work, tasks: Iterable[Task], workers: int | None, address: str | None
) -> Iterator[tuple[Shard, Any]]:
    """The results of shards, as they are done; the files that they write are written here.

    Args:
        setup: what each worker has.
        work: what to do, a function that can be pickled.
        tasks: the shards, with the bytes of the parts that are read from the start of a file.
        workers: how many shards are worked on at once; by default one for each core of the cluster.
        address: of the cluster, as ``ray.init`` takes it; None for the one that is connected to, else a local one that
            is started and ended.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
        WorkerDied: workers were killed.
        ChatTmplError: as the work does.
    """
    ray = _ray()
    started = _connect(ray, address, workers)
    try:
        yield from _run(ray, setup, work, iter(tasks), workers)
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
    """Connects to the cluster; says whether that is to be undone."""
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
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(f"cannot use Ray at {address or 'this machine'}: {said}", hint="ray status shows it") from None
    return True


def _run(ray: Any, setup: Setup, work: Work, tasks: Iterator[Task], workers: int | None) -> Iterator[tuple[Shard, Any]]:
    if workers is None:
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    shared = ray.put(Shipped.of(setup))
    begin = ray.remote(max_retries=_DEATHS)(_do)
    running: dict[Any, Shard] = {}
    try:
        while True:
            while len(running) < workers + _AHEAD and (task := next(tasks, None)) is not None:
                shard, payloads = task
                running[begin.remote(shared, work, shard, _whole(setup, shard, payloads))] = shard
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                shard = running.pop(reference)
                result, files = _got(ray, reference)
                for name, data in files:
                    with replacing(setup.folder / name) as file:
                        file.write(data)
                yield shard, result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _got(ray: Any, reference: Any) -> tuple[Any, list[tuple[str, bytes]]]:
    try:
        result: tuple[Any, list[tuple[str, bytes]]] = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ChatTmplError):
            raise error.cause from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        raise WorkerDied(
            f"worker processes were killed {_DEATHS + 1} times, perhaps for want of memory",
            hint="use fewer --workers; --resume goes on from here",
        ) from None
    return result


def _whole(setup: Setup, shard: Shard, payloads: Payloads) -> list[bytes]:
    """The bytes of all parts of a shard: a worker may stand where their files are not."""
    return [
        load(setup.files[part.source][part.file], part.piece) if payload is None else payload
        for part, payload in zip(shard.parts, payloads, strict=True)
    ]


@dataclass(frozen=True)
class Shipped:
    """What each worker has, with the files of the tokenizer.

    Attributes:
        key: tells it from that of other jobs.
        setup: the rest.
        files: name and bytes; none where the tokenizer is no path.
        folder: whether the tokenizer is the folder of the files, and not the first of them.
    """

    key: str
    setup: Setup
    files: tuple[tuple[str, bytes], ...]
    folder: bool

    @classmethod
    def of(cls, setup: Setup) -> Shipped:
        """The setup with all that it reads."""
        tokenizer = setup.prompts.tokenizer
        files = tokenizer_files(tokenizer) if isinstance(tokenizer, str | Path) else []
        read = tuple((path.name, path.read_bytes()) for path in files)
        return cls(uuid.uuid4().hex, setup, read, isinstance(tokenizer, str | Path) and Path(tokenizer).is_dir())

    def unpacked(self) -> Setup:
        """The setup, for a process on any machine."""
        if self.files:
            with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
                for name, data in self.files:
                    (Path(folder) / name).write_bytes(data)
                loaded = load_tokenizer(folder if self.folder else Path(folder) / self.files[0][0])
            self.setup.prompts.tokenizer = loaded
            if isinstance(self.setup.encoder, Encoder):
                self.setup.encoder.use_tokenizer(loaded)
        return self.setup


_here: dict[str, Setup] = {}
"""The setup that this process has, by its key."""


def _do(shared: Shipped, work: Work, shard: Shard, payloads: list[bytes]) -> tuple[Any, list[tuple[str, bytes]]]:
    """Works on a shard in a process of the cluster; returns what the work does, and the files that it wrote."""
    # One core for each worker, as the cluster counts them.
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")  # the caller has said it, and what is new comes back with the counts
    setup = _setup(shared)
    with tempfile.TemporaryDirectory(prefix="chattmpl-") as folder:
        result = work(replace(setup, folder=Path(folder)), shard, payloads)
        # The counts, which say that a shard is done, are the last by name and are written last.
        order = sorted(Path(folder).iterdir(), key=lambda path: (path.suffix == ".json", path.name))
        return result, [(path.name, path.read_bytes()) for path in order]


def _setup(shared: Shipped) -> Setup:
    if shared.key not in _here:
        _here.clear()
        _here[shared.key] = shared.unpacked()
    return _here[shared.key]
