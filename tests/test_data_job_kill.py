"""A job that is interrupted, in any way and at any time, resumes and writes the same bytes as an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import PROGRAM, run_here
from support.datasets import write_many
from support.extras import need

need("numpy", "pyarrow")

from chattmpl.data.job import Watcher, encode_dataset  # noqa: E402

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(os.name == "nt", reason="other signals there"),
]

COMMON = ("-t", "chatml", "--tokenizer", "demo", "--fast", "off")
SECONDS = 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for three shards."""
    return write_many(tmp_path_factory.mktemp("data") / "data.jsonl", 8000, words=120)


@pytest.fixture(scope="module")
def whole(data: Path) -> dict[str, bytes]:
    """Return the output of an uninterrupted job."""
    output = data.parent / "whole"
    assert run_here(["encode", *COMMON, str(data), "-o", str(output), "--workers", "1"]).code == 0
    return contents(output)


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


@contextmanager
def started(data: Path, output: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    # Where the tests themselves run in the background, a shell may have told them to ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [str(PROGRAM), "encode", *COMMON, str(data), "-o", str(output), "--workers", "2", *more]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def shards_done(output: Path) -> int:
    return len(list((output / ".chattmpl").glob("shard-*[0-9].json")))


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_killed_and_resumed_writes_the_same_bytes(
    data: Path, whole: dict[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "out"
    with started(data, output) as process:
        until(lambda: shards_done(output) >= 1 or process.poll() is not None)
        assert process.poll() is None, "it was done too soon to be killed"
        process.send_signal(number)
        process.wait(SECONDS)
        said = process.stderr.read().decode() if process.stderr and number != signal.SIGKILL else ""
        until(lambda: not alive(process.pid))
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert ("with --resume to continue" in said) is (number != signal.SIGKILL)
    assert "Traceback" not in said
    assert [path.name for path in output.iterdir()] == [".chattmpl"]
    kept = {path.name: path.stat().st_mtime_ns for path in (output / ".chattmpl").glob("shard-00000.*")}
    seen: dict[str, int] = {}

    class Look(Watcher):
        def begins(self, what: str, total: int, done: int) -> None:
            seen.update({path.name: path.stat().st_mtime_ns for path in (output / ".chattmpl").glob("shard-00000.*")})
            assert 0 < done < total

    if (output / ".chattmpl" / "shard-00000.json").exists():
        encode_dataset(str(data), "chatml", "demo", str(output), fast="off", workers=1, resume=True, watcher=Look())
        assert seen == kept, "a finished shard is not done again"
    else:
        encode_dataset(str(data), "chatml", "demo", str(output), fast="off", workers=1, resume=True)
    assert contents(output) == whole


def test_a_job_whose_worker_is_killed_goes_on_by_itself(data: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    output = tmp_path / "out"
    with started(data, output) as process:

        def workers() -> list[int]:
            (command,) = psutil.Process(process.pid).children()
            return [child.pid for child in command.children() if "resource_tracker" not in " ".join(child.cmdline())]

        until(lambda: shards_done(output) >= 1)
        os.kill(workers()[0], signal.SIGKILL)
        assert process.wait(SECONDS) == 0
    assert contents(output) == whole


def test_a_job_that_is_cut_off_while_it_publishes_can_be_resumed(
    data: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    replace, moved = Path.replace, []

    def fails_later(self: Path, target: Path) -> Path:
        if Path(target).name.startswith("train-"):
            moved.append(target)
            if len(moved) == 2:
                raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails_later)
        with pytest.raises(KeyboardInterrupt):
            encode_dataset(str(data), "chatml", "demo", str(output), fast="off", workers=1)
    assert len(list(output.glob("train-*"))) == 1
    encode_dataset(str(data), "chatml", "demo", str(output), fast="off", workers=1, resume=True)
    assert contents(output) == whole


def test_only_the_job_that_was_begun_is_resumed(data: Path, tmp_path: Path) -> None:
    output, copy = tmp_path / "out", tmp_path / "data.jsonl"
    copy.write_bytes(data.read_bytes()[:100_000].rpartition(b"\n")[0])

    class Stop(Watcher):
        def begins(self, what: str, total: int, done: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_dataset(str(copy), "chatml", "demo", str(output), fast="off", watcher=Stop())
    arguments = ["encode", *COMMON, str(copy), "-o", str(output)]
    assert "an unfinished job has left its shards" in run_here(arguments).err
    changed = run_here([*arguments, "--resume", "--mask", "last", "--max-length", "50"])
    assert changed.code == 2
    assert "--mask, --max-length changed" in changed.err
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert "the data changed" in run_here([*arguments, "--resume"]).err
    assert run_here([*arguments, "--force"]).code == 0


def test_two_jobs_do_not_write_to_one_folder(data: Path, tmp_path: Path) -> None:
    class Second(Watcher):
        tried = 0

        def begins(self, what: str, total: int, done: int) -> None:
            outcome = run_here(["encode", *COMMON, str(small), "-o", str(tmp_path / "out"), "--resume"])
            assert outcome.code == 2
            assert "another process is writing" in outcome.err
            self.tried += 1

    small = tmp_path / "small.jsonl"
    small.write_bytes(data.read_bytes()[:50_000].rpartition(b"\n")[0])
    watcher = Second()
    encode_dataset(str(small), "chatml", "demo", str(tmp_path / "out"), fast="off", watcher=watcher)
    assert watcher.tried == 1
