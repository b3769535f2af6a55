"""Worker processes with one job at a time. A process that exceeds its time limit is killed and replaced."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

READY = "ready\n"
"""The first line that a worker writes, after its imports, so that they do not count against the first job."""

_ROOT = Path(__file__).parents[2]
_LONGEST_LINE = 64 << 20
_START_SECONDS = 60.0


class JobTimeout(Exception):
    """A job that was stopped at the time limit, in seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took more than {seconds:g} seconds")
        self.seconds = seconds


class Superseded(Exception):
    """A job that was replaced by a newer one."""


class Lane:
    """One worker process and its queue.

    Args:
        seconds: time limit of a job.
        impatient: stop the running job when its owner sends a new one, instead of letting it finish.
    """

    def __init__(self, seconds: float, *, impatient: bool = False) -> None:
        self.seconds = seconds
        self.impatient = impatient
        self._process: asyncio.subprocess.Process | None = None
        self._busy = asyncio.Lock()
        self._newest: dict[Any, int] = {}
        self._owner: Any = None
        self._prepared: list[dict[str, Any]] = []
        self._ending: set[asyncio.Future[int]] = set()

    async def ask(self, job: dict[str, Any], owner: Any = None, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a job and return its answer.

        Args:
            job: the job, as JSON types.
            owner: the sender: of the waiting jobs of one owner, only the newest is done.
            before: a job that each process does once and outside the limit, such as reading a large file.

        Raises:
            TooLong: if the job was stopped.
            Superseded: if a newer job of the owner replaced this one.
        """
        number = self._newest.get(owner, 0) + 1
        if owner is not None:
            self._newest[owner] = number
        if self.impatient and owner is not None and owner == self._owner:
            self._end()
        async with self._busy:
            if owner is not None and self._newest[owner] != number:
                raise Superseded
            self._owner = owner
            try:
                process = await asyncio.wait_for(self._running(), _START_SECONDS)
                if before is not None and before not in self._prepared:
                    await asyncio.wait_for(_exchange(process, before), _START_SECONDS)
                    self._prepared.append(before)
                return await asyncio.wait_for(_exchange(process, job), self.seconds)
            except TimeoutError:
                self._end()
                raise JobTimeout(self.seconds) from None
            except (ConnectionError, EOFError, ValueError):
                self._end()
                if owner is not None and self._newest[owner] != number:
                    raise Superseded from None
                problem = {"where": "template", "severity": "error", "hint": "", "code": ""}
                problem |= {"message": "the rendering process ended unexpectedly; it may have run out of memory"}
                return {"ok": False, "problem": problem | dict.fromkeys(("line", "start", "end"))}
            except asyncio.CancelledError:
                self._end()
                raise
            finally:
                self._owner = None

    async def warm(self) -> None:
        """Start the process before its first job. Errors are reported with the first job."""
        async with self._busy:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await asyncio.wait_for(self._running(), _START_SECONDS)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            paths = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
            # -P keeps modules in the current folder from being imported.
            command = [sys.executable, "-P", "-m", "chattmpl.playground.worker"]
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, env=environment, limit=_LONGEST_LINE
            )
            self._prepared = []
            assert self._process.stdout is not None
            if await self._process.stdout.readline() != READY.encode():
                raise EOFError
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            ending = asyncio.ensure_future(process.wait())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Kill the process and wait for its end."""
        self._end()
        await asyncio.gather(*self._ending)


async def _exchange(process: asyncio.subprocess.Process, job: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job).encode() + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise EOFError
    answer: dict[str, Any] = json.loads(line)
    return answer
