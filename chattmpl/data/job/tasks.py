"""Shards with the bytes that are read for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.data.job.plan import Part, Plan, Shard
from chattmpl.data.job.pool import Task
from chattmpl.data.sources import stream


def tasks(plan_: Plan, shards: Sequence[Shard]) -> Iterator[Task]:
    """The shards with the bytes that workers cannot read by themselves, each file read once and in order."""
    streams = _Streams(plan_, [part for shard in shards for part in shard.parts])
    for shard in shards:
        yield shard, [streams.next(part) for part in shard.parts]


class _Streams:
    """The bytes of parts of files that are read from their start to their end."""

    def __init__(self, plan_: Plan, parts: Sequence[Part]) -> None:
        self.plan = plan_
        self.parts = [part for part in parts if not plan_.file(part).seekable]
        self.open: tuple[tuple[int, int, int], Iterator[bytes]] | None = None

    def next(self, part: Part) -> bytes | None:
        file = self.plan.file(part)
        if file.seekable:
            return None
        key = _run_of(part)
        if self.open is None or self.open[0] != key:
            pieces = [other.piece for other in self.parts if _run_of(other) == key]
            self.open = (key, stream(file, pieces))
        return next(self.open[1])


def _run_of(part: Part) -> tuple[int, int, int]:
    return (part.source, part.file, part.round)
