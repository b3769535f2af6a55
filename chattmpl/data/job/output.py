"""Output of a job: shards in a hidden folder until all are done, then the dataset, each file in one step."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from chattmpl.data.sources import refuse_replacing
from chattmpl.data.writers import concatenate, join_files, read_json, write_json
from chattmpl.errors import UsageError
from chattmpl.options import Format, check_options

FORMATS: tuple[Format, ...] = get_args(Format)
WORK = ".chattmpl"
SUMMARY, REJECTED = "summary.json", "rejected.jsonl"
_JOB = "job.json"


@dataclass(frozen=True)
class JobOutput:
    """The names of the files that a job writes.

    A path that ends in .parquet, .arrow or .jsonl is one file, with the summary and the rejected rows next to it; any
    other path is a folder, which ``datasets.load_dataset`` reads as it is.

    Attributes:
        path: the path that the user gave.
        form: format of the rows.
    """

    path: Path
    form: Format

    @classmethod
    def at(cls, path: str | Path, form: str | None) -> JobOutput:
        """Return the output at a path.

        Raises:
            UsageError: there is no such format, or the suffix is of another one.
        """
        path = Path(path)
        suffix = path.suffix.lower().lstrip(".")
        if suffix in FORMATS and form is not None and form != suffix:
            raise UsageError(f"{path} is not {form}", hint=f"drop --format, or name the file .{form}")
        wanted = suffix if suffix in FORMATS else form or "parquet"
        check_options(form=wanted)
        return cls(path, next(known for known in FORMATS if known == wanted))

    @property
    def single(self) -> bool:
        """True if the dataset is one file."""
        return self.path.suffix.lower().lstrip(".") in FORMATS

    @property
    def work(self) -> Path:
        """The folder of the shards."""
        return self.path.with_name(f".{self.path.name}{WORK}") if self.single else self.path / WORK

    @property
    def summary(self) -> Path:
        """The summary, which is written last."""
        return self.path.with_name(f"{self.path.name}.{SUMMARY}") if self.single else self.path / SUMMARY

    @property
    def rejected(self) -> Path:
        """The file of rejected rows."""
        return self.path.with_name(f"{self.path.name}.{REJECTED}") if self.single else self.path / REJECTED

    def data(self, number: int, count: int) -> Path:
        """Return the path of a file of the dataset."""
        # `datasets` recognises data files in a folder by such names.
        return self.path if self.single else self.path / f"train-{number:05d}-of-{count:05d}.{self.form}"

    def existing(self) -> list[Path]:
        """Return the files and folders of an earlier job, finished or not."""
        data = [self.path] if self.single else sorted(self.path.glob("train-*-of-*.*")) if self.path.is_dir() else []
        return [path for path in (*data, self.summary, self.rejected, self.work) if path.exists()]


class WorkFolder:
    """The work folder of a job, with its shards and its record.

    Args:
        output: the output of the job.
    """

    def __init__(self, output: JobOutput) -> None:
        self.output = output
        self.work = output.work
        self._lock: Any = None

    def known(self) -> dict[str, Any] | None:
        """Return the record of the unfinished job; None if there is none."""
        return read_json(self.work / _JOB)

    def finished(self) -> dict[str, Any] | None:
        """Return the summary of the finished job; None if there is none."""
        return None if self.known() is not None else read_json(self.output.summary)

    def refuse_impossible(self) -> None:
        """Check that the output can be written at all.

        Raises:
            UsageError: there is a folder in place of a file, or a file in place of a folder.
        """
        path = self.output.path
        if self.output.single and path.is_dir():
            raise UsageError(f"{path} is a folder", hint="a path with this suffix must be a file")
        if not self.output.single and path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file", hint="name a folder, or a file that ends in .parquet")

    def refuse_inputs(self, inputs: Iterable[str]) -> None:
        """Check that no input would be replaced; see `refuse_replacing`."""
        output = self.output
        refuse_replacing((*output.existing(), output.path, output.summary, output.rejected), inputs)

    def refuse_existing(self) -> None:
        """Raise `UsageError` if a file would be overwritten."""
        path = self.output.path
        if self.known() is not None:
            raise UsageError(
                f"an unfinished job has left its shards in {self.work}",
                hint="--resume continues it, --force starts over",
            )
        if existing := self.output.existing():
            raise UsageError(f"{existing[0]} exists", hint="--force replaces it")
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path} is not empty", hint="name a new folder, or add to this one with --force")

    def clear(self) -> None:
        """Remove the output of earlier jobs, and nothing else.

        Raises:
            UsageError: another process is writing here, or the files are not from an earlier job.
        """
        found = self.output.existing()
        if found and not self.output.single and not (self.work.is_dir() or "job" in (self.finished() or {})):
            problem = f"{found[0]} was not written by an earlier job"
            raise UsageError(problem, hint="name another folder, or remove it yourself")
        if self.work.is_dir():
            self.lock()
            self.close()
        for path in found:
            if path == self.work:
                shutil.rmtree(path)
            else:
                path.unlink()

    def begin(self, job: dict[str, Any]) -> None:
        """Create the folder, and write the record of the job; raise `UsageError` if another process is writing here."""
        self.work.mkdir(parents=True, exist_ok=True)
        self.lock()
        write_json(self.work / _JOB, job)

    def lock(self) -> None:
        """Lock the folder, also that of an unfinished job to resume.

        Raises:
            UsageError: another process is writing here.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            return
        self._lock = (self.work / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another process is writing to {self.output.path}", hint="wait until it is done"
            ) from None

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def publish(self, shards: Sequence[tuple[Path, Path]], rows: Sequence[int], schema: Any) -> list[Path]:
        """Turn the shards into the dataset and the rejected rows; it can be interrupted at any point and repeated.

        Args:
            shards: the file of data and that of rejected rows of each shard.
            rows: number of rows of each shard.
            schema: Arrow schema of the data.
        """
        output = self.output
        filled = [data for (data, _), count in zip(shards, rows, strict=True) if count] or [shards[0][0]]
        concatenate((rejected for _, rejected in shards), output.rejected)
        if output.single:
            if len(filled) == 1:
                if filled[0].exists():
                    filled[0].replace(output.path)
            elif not output.path.exists() or all(path.exists() for path in filled):
                join_files(filled, output.path, output.form, schema)
            return [output.path]
        named = [output.data(number, len(filled)) for number in range(len(filled))]
        for data, path in zip(filled, named, strict=True):
            if data.exists():
                data.replace(path)
        return named

    def end(self, summary: dict[str, Any]) -> None:
        """Write the summary, and remove the work folder."""
        write_json(self.output.summary, summary)
        self.close()
        shutil.rmtree(self.work, ignore_errors=True)
