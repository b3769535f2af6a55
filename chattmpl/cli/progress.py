"""What a person sees while a job goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chattmpl.cli.exit_codes import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from chattmpl.data.job import Watcher


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    texts = [TextColumn(text) for text in ("{task.description}", "{task.percentage:>3.0f}%", "{task.fields[said]}")]
    columns = (texts[0], BarColumn(), *texts[1:], TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextmanager
def watching() -> Iterator[Watcher]:
    """Shows on stderr how the job goes on: a bar in a terminal, else only what a person should know."""
    from chattmpl.data.job import Watcher

    class Lines(Watcher):
        def note(self, text: str) -> None:
            say(f"note: {text}")

    if not sys.stderr.isatty():
        yield Lines()
        return
    with _progress() as progress:

        class Bar(Lines):
            task = progress.add_task("reading", total=None, said="")
            rows = 0
            begun = time.monotonic()

            def reading(self, name: str) -> None:
                progress.update(self.task, description=f"reading {name}")

            def begins(self, what: str, total: int, done: int) -> None:
                self.begun = time.monotonic()
                progress.reset(self.task, total=total, completed=done, description=what, said="")

            def advances(self, weight: int, counts: dict[str, Any]) -> None:
                self.rows += sum(some.get("drawn", 0) for some in counts.get("sources", {}).values())
                speed = self.rows / max(time.monotonic() - self.begun, 0.1)
                said = f"{self.rows:,} rows, {speed:,.0f} a second" if self.rows else ""
                progress.update(self.task, advance=weight, said=said)

        yield Bar()
