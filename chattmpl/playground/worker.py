"""The process that renders: it reads a job a line, and writes an answer a line.

A template is somebody else's program. It runs here, under the budget of every render and within a bound on memory, so
that whatever it does, the page goes on, and the process that holds the page can end this one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import IO

READY = "ready\n"
"""The first line: what takes time before the first job, and is no job's fault, is done."""

MOST_MEMORY = 4 << 30
"""Bytes of address space; libraries take some of it before the first render."""


def serve(jobs: IO[str], answers: IO[str]) -> None:
    """Answer until there is nothing more to read."""
    from chattmpl.playground.views.jobs import answer

    # What is there by now stays, and need not be looked at again whenever garbage is collected.
    gc.freeze()
    answers.write(READY)
    answers.flush()
    for line in jobs:
        answers.write(json.dumps(answer(json.loads(line)), ensure_ascii=True) + "\n")
        answers.flush()


def main() -> None:
    """The process: answers go where stdout was, and nothing else does."""
    _bound_memory()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))


if __name__ == "__main__":
    main()
