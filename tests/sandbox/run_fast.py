"""Renders hostile templates on the fast path, without the bounds of a process, and reports as ``run.py`` does."""

from __future__ import annotations

import sys
from datetime import datetime

import run  # type: ignore[import-not-found]

from chattmpl import Template
from chattmpl.data.fast import limits
from chattmpl.data.fast.markers import Unsupported, with_markers
from chattmpl.data.fast.renderers import CompiledRenderer
from chattmpl.errors import ChatTmplError

MESSAGES = [{"role": "user", "content": "ab<1 " * 60000}, *run.MESSAGES]


limits.SECONDS = 0.2
"""A fifth, for the sake of time."""


def outcome(source: str, steps: int) -> tuple[str, str]:
    """The end of one template."""
    try:
        renderer = CompiledRenderer(with_markers(Template.from_source(source).program), datetime.now)
    except (ChatTmplError, Unsupported) as error:
        return "exact path", str(error)
    pieces: list[str] = []
    try:
        renderer.write({"messages": MESSAGES}, pieces, sum(len(message["content"]) for message in MESSAGES))
    except Exception as error:
        return "deferred", type(error).__name__
    return ("harmless" if sum(map(len, pieces)) < 1 << 25 else "deferred"), "".join(pieces[:3])[:200]


run.outcome = outcome

if __name__ == "__main__":
    run.main(sys.argv)
