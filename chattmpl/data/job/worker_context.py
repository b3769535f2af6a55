"""What every worker of a job has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chattmpl.data.job.counters import Counts
from chattmpl.data.job.options import Options
from chattmpl.data.job.plan import Part
from chattmpl.data.mixture import Source
from chattmpl.data.samples import Encodes
from chattmpl.data.sources import DataFile
from chattmpl.data.unroll import Prompts


@dataclass(frozen=True)
class Setup:
    """What every worker has, sent to it once.

    Attributes:
        encoder: what encodes.
        options: what is asked for.
        sources: the sources, with their kwargs.
        files: for each source its files.
        seed: of the draw.
        folder: where shards are written.
        prompts: for unrolling, what makes prompts.
    """

    encoder: Encodes
    options: Options
    sources: tuple[Source, ...]
    files: tuple[tuple[DataFile, ...], ...]
    seed: int
    folder: Path
    prompts: Prompts

    @property
    def fast(self) -> bool:
        """Whether the encoder has a fast path."""
        report = getattr(self.encoder, "report", None)
        return report is not None and report().engine is not None

    def report(self) -> Counts:
        """What the encoder did so far in this process: rows on each of its paths, and what it found to differ."""
        report = getattr(self.encoder, "report", None)
        if report is None:
            return {}
        said = report().to_dict()
        fast, exact = sum(said["fast"].values()), sum(said["exact"].values())
        differing = len(said["disagreements"])
        return {"fast": fast, "exact": exact, "compared": said["checked"], "differing": differing}

    def name(self, part: Part) -> str:
        """The source of a part."""
        return self.sources[part.source].name

    def place(self, part: Part, number: int, line: int | None) -> str:
        """Where a row stands: ``file:line``, or ``file[index]`` for tables."""
        path = self.files[part.source][part.file].path
        return f"{path}[{number}]" if line is None else f"{path}:{line}"

    def paths(self, number: int) -> tuple[Path, Path, Path]:
        """The data, the refused rows and the counts of a shard; the counts are written last."""
        name = self.folder / f"shard-{number:05d}"
        return (
            name.with_suffix(f".{self.options.form}"),
            name.with_suffix(".rejected.jsonl"),
            name.with_suffix(".json"),
        )
