"""The plan of a job: the files of each source, the rows that are drawn, and the shards in which they are encoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chattmpl.data.config_file import SUFFIXES
from chattmpl.data.job.events import JobNote, JobNoteKind, Watcher
from chattmpl.data.mixture import ALL_KEYS, Draw, Mixture, MixtureSource, check_mixture, load_mixture
from chattmpl.data.sources import Chunk, DataFile, EmptyFile, Scan, find_files, is_seekable, read, scan, stream
from chattmpl.errors import ConversationError, UsageError, did_you_mean
from chattmpl.template.template import Template

Data = str | os.PathLike[str] | Mixture | Sequence[str | os.PathLike[str]]
"""Files, folders and patterns; or a mixture, or its file."""

Payloads = Sequence[bytes | None]
"""The bytes of each part of a shard; None for a part that the worker reads itself."""

_SHARDS = 64
_SMALLEST, _LARGEST = 4 << 20, 32 << 20
_SMALLEST_PACKED = 16 << 20
_SAMPLED_ROWS = 100
"""Number of rows of a file in which columns are searched."""


# -- inputs


def read_mixture(data: Data) -> Mixture:
    """Return the mixture for a caller's data: the file of a mixture is loaded, and each other path is a source.

    Raises:
        UsageError: nothing is named, or the file of a mixture is invalid.
    """
    if isinstance(data, Mixture):
        return check_mixture(data, "the mixture")
    names = [data] if isinstance(data, str | os.PathLike) else list(data)
    paths = [os.fspath(name) for name in names]
    mixtures = [path for path in paths if path.lower().endswith(SUFFIXES)]
    if len(paths) == 1 and mixtures:
        return load_mixture(paths[0])
    if mixtures:
        problem = f"{mixtures[0]} is a mixture, which cannot be combined with other data"
        raise UsageError(problem, hint="name the other data in it")
    if not paths:
        raise UsageError("nothing to encode", hint="name files, folders, patterns or a mixture")
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"{path} is named twice", hint="to repeat a source, use epochs in a mixture")
    return check_mixture(Mixture(sources=[MixtureSource(path=path, name=path) for path in paths]), "the data")


def check_kwargs(mixture: Mixture, template: Template) -> None:
    """Check that the template reads the kwargs of a mixture: others would have no effect.

    Raises:
        UsageError: the template does not read one of them.
    """
    for source in mixture.sources:
        named = {**mixture.chat_template_kwargs, **source.chat_template_kwargs}
        template.check_kwargs({name: value for name, value in named.items() if value is not None})
        template.check_kwargs(dict.fromkeys(name for name in source.kwargs_from if not template.reads(name)))


def check_columns(plan: Plan) -> None:
    """Raise `UsageError` if a column from which kwargs are taken does not exist."""
    for source in plan.sources:
        wanted = source.source.kwargs_from.values()
        known: set[str] = set()
        for row in read(source.scans[0].file, limit=_SAMPLED_ROWS) if wanted else ():
            known.update(row.value if isinstance(row.value, dict) else ())
        for column in wanted:
            if column not in known:
                hint = did_you_mean(column, known) or f"the columns are {', '.join(sorted(known))}"
                raise UsageError(f"no row of {source.source.name!r} has a column {column!r}", hint=hint)


# -- the plan


@dataclass(frozen=True)
class SourcePlan:
    """A source with its files, each of which was read once."""

    source: MixtureSource
    scans: tuple[Scan, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(scan.rows for scan in self.scans)


@dataclass(frozen=True, slots=True)
class ShardPart:
    """A chunk of a source, in one pass over it.

    Attributes:
        source: index of the source.
        file: index of its file among those of the source.
        chunk: the rows of the file.
        first: number of rows of the source before them.
        below: only rows with a smaller key are drawn.
        round: number of the pass, from 0.
    """

    source: int
    file: int
    chunk: Chunk
    first: int
    below: int = ALL_KEYS
    round: int = 0


@dataclass(frozen=True)
class Shard:
    """Rows that are encoded together and written to one file."""

    number: int
    parts: tuple[ShardPart, ...]

    @property
    def weight(self) -> int:
        """Approximate number of bytes of its rows."""
        return sum(part.chunk.weight for part in self.parts)


@dataclass(frozen=True)
class Plan:
    """A mixture with its files, and the rows that are drawn; all rows if there are no draws."""

    mixture: Mixture
    sources: tuple[SourcePlan, ...]
    draws: tuple[Draw, ...] = field(default=())

    @property
    def files(self) -> tuple[tuple[DataFile, ...], ...]:
        """The files of each source."""
        return tuple(tuple(scan.file for scan in source.scans) for source in self.sources)

    def shards(self, *, packed: bool = False) -> list[Shard]:
        """Group the parts into shards, in order; the result does not depend on the number of workers."""
        parts = list(self._parts())
        total = sum(part.chunk.weight for part in parts)
        goal = max(_SMALLEST_PACKED if packed else _SMALLEST, min(total // _SHARDS, _LARGEST))
        shards: list[Shard] = []
        group: list[ShardPart] = []
        weight = 0
        for part in parts:
            group.append(part)
            weight += part.chunk.weight
            if weight >= goal:
                shards.append(Shard(len(shards), tuple(group)))
                group, weight = [], 0
        if group:
            shards.append(Shard(len(shards), tuple(group)))
        return shards

    def _parts(self) -> Iterator[ShardPart]:
        draws = self.draws or (Draw(),) * len(self.sources)
        for index, (source, draw) in enumerate(zip(self.sources, draws, strict=True)):
            for number, below in enumerate(draw.rounds):
                first = 0
                for file, scanned in enumerate(source.scans):
                    for chunk in scanned.chunks:
                        yield ShardPart(index, file, chunk, first, below, number)
                        first += chunk.rows

    def tasks(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Payloads]]:
        """Yield shards with the bytes that workers cannot read themselves; each file is read once, in order."""
        files = self.files

        def run_of(part: ShardPart) -> tuple[int, int, int]:
            return part.source, part.file, part.round

        streamed = [part for shard in shards for part in shard.parts if not is_seekable(files[part.source][part.file])]
        current: tuple[int, int, int] | None = None
        opened: Iterator[bytes] = iter(())
        for shard in shards:
            payloads: list[bytes | None] = []
            for part in shard.parts:
                file = files[part.source][part.file]
                if is_seekable(file):
                    payloads.append(None)
                    continue
                if current != run_of(part):
                    current = run_of(part)
                    opened = stream(file, [other.chunk for other in streamed if run_of(other) == current])
                payloads.append(next(opened))
            yield shard, payloads


def make_plan(mixture: Mixture, *, limit: int | None = None, watcher: Watcher | None = None) -> Plan:
    """Find the files of a mixture and read each once.

    Args:
        mixture: the sources.
        limit: maximum number of rows of each source.
        watcher: receives the name of each file before it is read, and a note about each empty file that is skipped.

    Raises:
        ConversationError: a file is missing, unreadable or empty; of the files of one pattern or folder, all are empty.
        UsageError: a path is ambiguous, or a package is missing.
    """
    sources = []
    for source in mixture.sources:
        groups = [find_files(path) for path in source.paths]
        _check_repeated(source, [file for files in groups for file in files])
        scans: list[Scan] = []
        left = limit
        for files in groups:
            if left == 0:
                break
            scans += _scan_files(files, left, watcher or Watcher())
            left = None if limit is None else limit - sum(scanned.rows for scanned in scans)
        if not scans:
            raise ConversationError(f"the source {source.name!r} has no files")
        sources.append(SourcePlan(source, tuple(scans)))
    return Plan(mixture, tuple(sources))


def _scan_files(files: Sequence[DataFile], limit: int | None, watcher: Watcher) -> list[Scan]:
    """Scan the files of one path, up to the limit; empty files are skipped unless all are empty."""
    scans: list[Scan] = []
    empty: dict[str, EmptyFile] = {}
    for file in files:
        watcher.reading(file.path, _size(file))
        try:
            scanned = scan(file, limit=limit, progress=watcher.reads)
        except EmptyFile as error:
            empty[file.path] = error
            continue
        if limit is not None:
            scanned = _first_rows(scanned, limit)
            limit -= scanned.rows
        scans.append(scanned)
        if limit == 0:
            break
    if empty and not scans:
        raise next(iter(empty.values()))
    for path in empty:
        watcher.note(JobNote(JobNoteKind.EMPTY_FILE, {"path": path}))
    return scans


def _size(file: DataFile) -> int:
    """Return the bytes of a file; 0 if it is compressed, or cannot be read, which the scan reports."""
    try:
        return 0 if file.compression else Path(file.path).stat().st_size
    except OSError:
        return 0


def _check_repeated(source: MixtureSource, files: Sequence[DataFile]) -> None:
    paths = [file.path for file in files]
    for path in paths:
        if paths.count(path) > 1:
            hint = "to repeat a source, use epochs" if len(source.paths) > 1 else None
            raise UsageError(f"{path} is named twice", hint=hint)


def _first_rows(scanned: Scan, limit: int) -> Scan:
    chunks = []
    for chunk in scanned.chunks:
        if limit <= 0:
            break
        # The bytes stay the same: a reader stops once it has its rows.
        chunks.append(replace(chunk, rows=min(chunk.rows, limit)))
        limit -= chunk.rows
    return Scan(scanned.file, tuple(chunks), scanned.digest)
