"""The plan of a job: which files there are, which rows are drawn, and the shards in which they are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from chattmpl.data.mixture import EVERY, Draw, Mixture, Source
from chattmpl.data.sources import DataFile, EmptyFile, Piece, Scan, find_files, scan
from chattmpl.errors import ConversationError, UsageError

_SHARDS = 64
_SMALLEST, _LARGEST = 4 << 20, 32 << 20
_SMALLEST_PACKED = 16 << 20


@dataclass(frozen=True)
class SourcePlan:
    """A source with its files, each read once."""

    source: Source
    scans: tuple[Scan, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(scan.rows for scan in self.scans)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a source, in one round through it.

    Attributes:
        source: index of the source.
        file: index of its file among those of the source.
        piece: which rows of the file.
        first: how many rows of the source stand before them.
        below: of these rows those are taken whose key is less.
        round: which round it is, from 0.
    """

    source: int
    file: int
    piece: Piece
    first: int
    below: int = EVERY
    round: int = 0


@dataclass(frozen=True)
class Shard:
    """What is encoded at once and written to one file."""

    number: int
    parts: tuple[Part, ...]

    @property
    def weight(self) -> int:
        """About how many bytes its rows are."""
        return sum(part.piece.weight for part in self.parts)


@dataclass(frozen=True)
class Plan:
    """All that is known before the first row is encoded."""

    mixture: Mixture
    sources: tuple[SourcePlan, ...]
    draws: tuple[Draw, ...] = field(default=())

    def file(self, part: Part) -> DataFile:
        """The file of a part."""
        return self.sources[part.source].scans[part.file].file

    def shards(self, *, packed: bool) -> list[Shard]:
        """The parts in their order, gathered; the same whatever number of workers there is."""
        parts = list(self._parts())
        total = sum(part.piece.weight for part in parts)
        goal = max(_SMALLEST_PACKED if packed else _SMALLEST, min(total // _SHARDS, _LARGEST))
        found: list[Shard] = []
        gathered: list[Part] = []
        weight = 0
        for part in parts:
            gathered.append(part)
            weight += part.piece.weight
            if weight >= goal:
                found.append(Shard(len(found), tuple(gathered)))
                gathered, weight = [], 0
        if gathered:
            found.append(Shard(len(found), tuple(gathered)))
        return found

    def _parts(self) -> Iterator[Part]:
        draws = self.draws or (Draw(),) * len(self.sources)
        for index, (source, draw) in enumerate(zip(self.sources, draws, strict=True)):
            for number, below in enumerate(draw.rounds):
                first = 0
                for file, scanned in enumerate(source.scans):
                    for piece in scanned.pieces:
                        yield Part(index, file, piece, first, below, number)
                        first += piece.rows


def plan(
    mixture: Mixture,
    *,
    limit: int | None = None,
    seen: Callable[[str], None] = lambda name: None,
    note: Callable[[str], None] = lambda text: None,
) -> Plan:
    """Finds the files of a mixture and reads each once.

    Args:
        mixture: what to read.
        limit: how many rows of each source are taken at most.
        seen: is told the name of each file before it is read.
        note: is told of each empty file that is passed over.

    Raises:
        ConversationError: a file is missing, cannot be read, or is empty; of several that one pattern or folder means,
            all are.
        UsageError: it is not clear what is meant, or a package is missing.
    """
    sources = []
    for source in mixture.sources:
        groups = [find_files(path) for path in source.paths]
        _check_twice(source, [file for files in groups for file in files])
        scans: list[Scan] = []
        left = limit
        for files in groups:
            if left == 0:
                break
            scans += _scanned(files, left, seen, note)
            left = None if limit is None else limit - sum(some.rows for some in scans)
        if not scans:
            raise ConversationError(f"the source {source.name!r} has no files")
        sources.append(SourcePlan(source, tuple(scans)))
    return Plan(mixture, tuple(sources))


def _scanned(
    files: Sequence[DataFile], limit: int | None, seen: Callable[[str], None], note: Callable[[str], None]
) -> list[Scan]:
    """The files that one path means, read once, as far as rows of them are wanted; of several, empty ones are not."""
    scans: list[Scan] = []
    empty: list[EmptyFile] = []
    for file in files:
        seen(file.path)
        try:
            scanned = scan(file, limit=limit)
        except EmptyFile as error:
            empty.append(error)
            continue
        if limit is not None:
            scanned = _first(scanned, limit)
            limit -= scanned.rows
        scans.append(scanned)
        if limit == 0:
            break
    if empty and not scans:
        raise empty[0]
    for each in empty:
        note(f"{each.message}, and is passed over")
    return scans


def _check_twice(source: Source, files: Sequence[DataFile]) -> None:
    paths = [file.path for file in files]
    for path in paths:
        if paths.count(path) > 1:
            hint = "epochs takes a source more than once" if len(source.paths) > 1 else None
            raise UsageError(f"{path} is named twice", hint=hint)


def _first(scanned: Scan, limit: int) -> Scan:
    """The first rows of a file."""
    pieces = []
    for piece in scanned.pieces:
        if limit <= 0:
            break
        # The bytes stay: a reader that has the rows it wants reads no further.
        pieces.append(replace(piece, rows=min(piece.rows, limit)))
        limit -= piece.rows
    return Scan(scanned.file, tuple(pieces), scanned.digest)
