"""Renders hostile templates, a few in each process, which may not grow past a bound, and tells how each ended.

``run.py STEPS GROUP FILE…``, or without files with pairs of a name and a source as lines of JSON on stdin,
prints one JSON object a line: ``{"template", "outcome", "text", "seconds", "megabytes"}``. The
outcome is the name of the error, or ``harmless``; seconds are of processor time, and megabytes is how far the process
grew until then. A template that ends its process has the outcome ``killed``.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from chattmpl import Template
from chattmpl.budget import Budget
from chattmpl.errors import ChatTmplError

SECONDS = 60
"""Seconds after which a template that does not end is killed."""

MEGABYTES = 1500
"""Beyond this, Python cannot get memory."""

MESSAGES = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world"}]


def outcome(source: str, steps: int) -> tuple[str, str]:
    """The end of one template."""
    try:
        text = Template.from_source(source, budget=Budget(steps=steps)).render(MESSAGES).text
    except ChatTmplError as error:
        return type(error).__name__, str(error)
    except BaseException as error:
        return f"raised {type(error).__name__}", str(error)[:200]
    return "harmless", text[:200]


def child(group: list[tuple[str, str]], steps: int, pipe: int) -> None:
    """Render one after another, and report each through the pipe."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with os.fdopen(pipe, "w") as report:
        for name, source in group:
            signal.alarm(SECONDS)
            start = time.process_time()
            ending, text = outcome(source, steps)
            seconds = round(time.process_time() - start, 2)
            grown = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
            result = {"template": name, "outcome": ending, "text": text, "seconds": seconds, "megabytes": grown}
            print(json.dumps(result), file=report, flush=True)


def run(group: list[tuple[str, str]], steps: int) -> Iterator[dict[str, object]]:
    """Render templates in a process of their own; if it is killed, the rest of them in another one."""
    readable, writable = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(readable)
            child(group, steps, writable)
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        results = [json.loads(line) for line in pipe]
    os.waitpid(process, 0)
    yield from results
    if len(results) < len(group):
        name = group[len(results)][0]
        yield {"template": name, "outcome": "killed", "text": "", "seconds": SECONDS, "megabytes": None}
        yield from run(group[len(results) + 1 :], steps)


def main(arguments: list[str]) -> None:
    """Report on the files, or on the lines of stdin: a list of the name and the source each."""
    # Once here, so that no process imports what the first render imports.
    outcome("{{ messages[0].content | upper }}{% macro m() %}{% endmacro %}{{ m() }}{{ raise_exception('x') }}", 1000)
    gc.freeze()
    steps, size = int(arguments[1]), int(arguments[2])
    files = [(path.stem, path.read_text(encoding="utf-8")) for path in map(Path, arguments[3:])]
    given = files or [(name, source) for name, source in map(json.loads, sys.stdin)]
    for start in range(0, len(given), size):
        for result in run(given[start : start + size], steps):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv)
