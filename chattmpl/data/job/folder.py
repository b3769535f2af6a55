"""Where a job writes: shards in a hidden folder until all is done, then the data set in one step a file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.data.sources import refuse_replacing
from chattmpl.data.writers import FORMATS, Format, concatenate, join, read_json, write_json
from chattmpl.errors import UsageError

WORK = ".chattmpl"
SUMMARY, REJECTED = "summary.json", "rejected.jsonl"
_JOB = "job.json"


@dataclass(frozen=True)
class Output:
    """The names of what a job writes.

    With a name that ends in .parquet, .arrow or .jsonl it is one file, and the summary and the refused rows stand
    beside it; else a folder, which ``datasets.load_dataset`` reads as it is.

    Attributes:
        path: what the person said.
        form: how rows are written.
    """

    path: Path
    form: Format

    @classmethod
    def named(cls, path: str | Path, form: Format | None) -> Output:
        """The output at a path.

        Raises:
            UsageError: the suffix says another format.
        """
        path = Path(path)
        suffix = path.suffix.lower().lstrip(".")
        if suffix not in FORMATS:
            return cls(path, form or "parquet")
        if form is not None and form != suffix:
            raise UsageError(f"{path} is not {form}", hint=f"drop --format, or name the file .{form}")
        return cls(path, next(known for known in FORMATS if known == suffix))

    @property
    def single(self) -> bool:
        """Whether the data set is one file."""
        return self.path.suffix.lower().lstrip(".") in FORMATS

    @property
    def work(self) -> Path:
        """The folder of the shards."""
        return self.path.with_name(f".{self.path.name}{WORK}") if self.single else self.path / WORK

    @property
    def summary(self) -> Path:
        """The file of the summary, which is written last."""
        return self.path.with_name(f"{self.path.name}.{SUMMARY}") if self.single else self.path / SUMMARY

    @property
    def rejected(self) -> Path:
        """The file of the rows that were refused."""
        return self.path.with_name(f"{self.path.name}.{REJECTED}") if self.single else self.path / REJECTED

    def data(self, number: int, count: int) -> Path:
        """A file of the data set."""
        # The name by which `datasets` knows data from other files of a folder.
        return self.path if self.single else self.path / f"train-{number:05d}-of-{count:05d}.{self.form}"

    def existing(self) -> list[Path]:
        """What an earlier job left here, finished or not."""
        data = [self.path] if self.single else sorted(self.path.glob("train-*-of-*.*")) if self.path.is_dir() else []
        return [path for path in (*data, self.summary, self.rejected, self.work) if path.exists()]


class Folder:
    """The shards of one job, and what is known of it.

    Args:
        output: where the data set goes.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.work = output.work
        self._lock: Any = None

    def known(self) -> dict[str, Any] | None:
        """What the job that left its shards here was asked for; None if there is none."""
        return read_json(self.work / _JOB)

    def finished(self) -> dict[str, Any] | None:
        """The summary of the job that is done here; None if none is."""
        return None if self.known() is not None else read_json(self.output.summary)

    def refuse_impossible(self) -> None:
        """Says so where nothing can be written, whatever may be replaced.

        Raises:
            UsageError: a folder is there where a file is to be, or a file where a folder is.
        """
        path = self.output.path
        if self.output.single and path.is_dir():
            raise UsageError(f"{path} is a folder", hint="its name says one file; name a file that is not there")
        if not self.output.single and path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file", hint="a folder is made there, or one file if it ends in .parquet")

    def refuse_inputs(self, inputs: Iterable[str]) -> None:
        """Says so where what is read would be replaced; see `refuse_replacing`."""
        output = self.output
        refuse_replacing((*output.existing(), output.path, output.summary, output.rejected), inputs)

    def refuse_existing(self) -> None:
        """Says so where something would be overwritten.

        Raises:
            UsageError: if there is anything.
        """
        path = self.output.path
        if self.known() is not None:
            raise UsageError(
                f"an unfinished job has left its shards in {self.work}",
                hint="--resume goes on with it, --force starts anew",
            )
        if existing := self.output.existing():
            raise UsageError(f"{existing[0]} exists", hint="--force replaces it")
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path} is not empty", hint="name a folder that is not there, or --force adds to it")

    def clear(self) -> None:
        """Removes what earlier jobs left, and nothing else.

        Raises:
            UsageError: another process is at work here; or what a folder holds is not of an earlier job.
        """
        found = self.output.existing()
        if found and not self.output.single and not (self.work.is_dir() or "job" in (self.finished() or {})):
            problem = f"{found[0]} was not written by an earlier job"
            raise UsageError(problem, hint="name another folder, or remove it yourself")
        if self.work.is_dir():
            self._take_lock()
            self.release()
        for path in found:
            if path == self.work:
                shutil.rmtree(path)
            else:
                path.unlink()

    def begin(self, job: dict[str, Any]) -> None:
        """Makes the folder, and notes what is asked for.

        Raises:
            UsageError: another process is at work here.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        write_json(self.work / _JOB, job)

    def resume(self) -> None:
        """Takes the folder over.

        Raises:
            UsageError: another process is at work here.
        """
        self._take_lock()

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows, where two jobs in one folder are the person's to avoid
            return
        self._lock = (self.work / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is writing to {self.output.path}", hint="wait for it") from None

    def release(self) -> None:
        """Lets others in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def publish(self, shards: Sequence[tuple[Path, Path]], rows: Sequence[int], schema: Any) -> list[Path]:
        """Makes the data set of the shards: data, and refused rows. It can be cut off at any point, and called again.

        Args:
            shards: for each the file of data and that of refused rows.
            rows: how many rows each holds.
            schema: of the data.
        """
        output = self.output
        filled = [data for (data, _), count in zip(shards, rows, strict=True) if count] or [shards[0][0]]
        concatenate((rejected for _, rejected in shards), output.rejected)
        if output.single:
            if not output.path.exists() or all(path.exists() for path in filled):
                join(filled, output.path, output.form, schema)
            return [output.path]
        named = [output.data(number, len(filled)) for number in range(len(filled))]
        for data, path in zip(filled, named, strict=True):
            if data.exists():
                data.replace(path)
        return named

    def end(self, summary: dict[str, Any]) -> None:
        """Writes the summary, and removes the work folder."""
        write_json(self.output.summary, summary)
        self.release()
        shutil.rmtree(self.work, ignore_errors=True)


@contextlib.contextmanager
def released(folder: Folder) -> Iterator[Folder]:
    """A folder that others may use again afterwards."""
    try:
        yield folder
    finally:
        folder.release()
