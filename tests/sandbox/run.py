"""Renders hostile templates, each in a process of its own that may not grow past a bound, and tells how each ended.

``run.py STEPS FILE…``, or without files with pairs of a name and a source as lines of JSON on stdin,
prints one JSON object a line: ``{"template", "outcome", "text", "seconds", "megabytes"}``. The
outcome is the name of the error, or ``harmless``; seconds are of processor time, and megabytes is how far the process
grew.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
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


def child(source: str, steps: int, pipe: int) -> None:
    """Render, and report through the pipe."""
    signal.alarm(SECONDS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    name, text = outcome(source, steps)
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    os.write(pipe, json.dumps([name, text, round(seconds, 2), round(grown)]).encode())


def run(name: str, source: str, steps: int) -> dict[str, object]:
    """Render one template in a process of its own."""
    readable, writable = os.pipe()
    process = os.fork()
    if not process:
        try:
            child(source, steps, writable)
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        told = pipe.read()
    os.waitpid(process, 0)
    result = json.loads(told) if told else ["killed", "", SECONDS, None]
    return dict(zip(("outcome", "text", "seconds", "megabytes"), result, strict=True)) | {"template": name}


def main(arguments: list[str]) -> None:
    """Report on the files, or on the lines of stdin: a list of the name and the source each."""
    # Once here, so that no process imports what the first render imports.
    outcome("{{ messages[0].content | upper }}{% macro m() %}{% endmacro %}{{ m() }}{{ raise_exception('x') }}", 1000)
    gc.freeze()
    files = [(path.stem, path.read_text(encoding="utf-8")) for path in map(Path, arguments[2:])]
    for name, source in files or map(json.loads, sys.stdin):
        print(json.dumps(run(name, source, int(arguments[1]))), flush=True)


if __name__ == "__main__":
    main(sys.argv)
