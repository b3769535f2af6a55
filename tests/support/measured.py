"""Calls of the command line and of other entry points, each measured from outside: seconds, memory, and what it says.

Run as a program, it reads one call per line, runs each in a process forked from itself, which has imported everything,
and writes one result per line, both in JSON.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

SECONDS = 60
"""Wall-clock time after which a call that does not end is killed."""

BUDGET = (50_000, 1 << 22)
"""Steps and characters of a render, a twentieth and an eighth of the default, for the sake of time."""


@dataclass(frozen=True)
class Call:
    """A call of an entry point.

    Attributes:
        entry: key of `ENTRIES`.
        arguments: its arguments.
        folder: the current folder of its process.
    """

    entry: str
    arguments: Sequence[str]
    folder: str


@dataclass(frozen=True)
class Ending:
    """The end of a call.

    Attributes:
        code: the exit code; negative for the signal that killed the process.
        out: the text on stdout.
        err: the text on stderr.
        seconds: wall-clock time.
        megabytes: largest resident size of one of its processes.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: int


def measure(calls: Iterable[Call], preload: str = "") -> list[Ending]:
    """Run the calls one after another, each in a process of its own, into which a module was imported before."""
    runner = _runner(preload)
    assert runner.stdin is not None
    assert runner.stdout is not None
    endings = []
    for call in calls:
        runner.stdin.write(json.dumps(asdict(call)) + "\n")
        runner.stdin.flush()
        endings.append(Ending(**json.loads(runner.stdout.readline())))
    return endings


@cache
def _runner(preload: str) -> subprocess.Popen[str]:
    """Start this program, which ends with its parent, for its input ends then."""
    command = [sys.executable, "-P", __file__, *([preload] if preload else [])]
    runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    atexit.register(runner.communicate)
    return runner


def _command(*arguments: str) -> int:
    from chattmpl.cli import run

    sys.argv = ["chattmpl", *arguments]
    return run()


def _encoder(template: str, rows: str) -> int:
    """Encode rows in this process, which enforces the bounds; the exit code is 1 if any is rejected."""
    from chattmpl import bounds
    from chattmpl.data.encoder import Encoder, Row
    from chattmpl.errors import ChatTmplError

    bounds.enforce()
    try:
        records = [json.loads(line) for line in Path(rows).read_bytes().splitlines()]
        encoded = Encoder(template, "demo").encode_many(records)
    except ChatTmplError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rejected = [row for row in encoded if not isinstance(row, Row)]
    print(f"{len(rejected)} rejected")
    return 1 if rejected else 0


def _pytest(*arguments: str) -> int:
    import pytest

    return int(pytest.main([*arguments, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=."]))


def _playground(template: str) -> int:
    """Ask for a view as the page does; the exit code is 1 if the answer is a problem."""
    from chattmpl.playground.lane import JobTimeout, Lane

    job = {"kind": "view", "state": {"base": "", "source": Path(template).read_text(encoding="utf-8")}}

    async def ask() -> int:
        lane = Lane(5.0)
        try:
            answer = await lane.ask(job)
        except JobTimeout as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        finally:
            await lane.close()
        print("ok" if answer["ok"] else f"error: {answer['problem']['message']}")
        return 0 if answer["ok"] else 1

    return asyncio.run(ask())


ENTRIES: dict[str, Callable[..., int]] = {
    "command": _command,
    "encoder": _encoder,
    "pytest": _pytest,
    "playground": _playground,
}


def _fork(call: Call) -> Ending:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = os.fork()
        if not process:
            os.setsid()
            os.chdir(call.folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = 70
            try:
                code = ENTRIES[call.entry](*call.arguments)
            except BaseException as error:
                code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 70
                if code == 70:
                    sys.excepthook(type(error), error, error.__traceback__)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        waiting = os.pidfd_open(process)
        if not select.select([waiting], [], [], SECONDS)[0]:
            os.killpg(process, signal.SIGKILL)
        os.close(waiting)
        _, status, used = os.wait4(process, 0)
        seconds = time.monotonic() - start
        code = os.waitstatus_to_exitcode(status)
        return Ending(code, _text(out), _text(err), round(seconds, 2), used.ru_maxrss >> 10)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _import_everything() -> None:
    from chattmpl import Budget, Template
    from chattmpl.cli import command_names

    Budget.__init__.__defaults__ = BUDGET
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for name in command_names():
        importlib.import_module(f"chattmpl.cli.{name}")
    importlib.import_module("chattmpl.lint.runner")
    for name in ("chattmpl.data.job", "chattmpl.data.encoder", "chattmpl.data.survey"):
        importlib.import_module(name)
    Template.load("chatml").render([{"role": "user", "content": "x"}])
    gc.freeze()


if __name__ == "__main__":
    os.environ |= {"CHATTMPL_CACHE": "", "COLUMNS": "80"}
    _import_everything()
    for line in sys.stdin:
        print(json.dumps(asdict(_fork(Call(**json.loads(line))))), flush=True)
