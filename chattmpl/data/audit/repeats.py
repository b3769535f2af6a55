"""What kinds tell of rows that repeat others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from chattmpl.data.audit.check import Whole
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals


def repeated(totals: Totals, settings: Settings, *, rendered: bool) -> Iterator[Whole]:
    """The rows that repeat an earlier one, if there are any; see `Digests.repeats`."""
    digests = totals.digests
    repeats = list(digests.repeats(rendered=rendered))
    if repeats:
        sources = Counter(digests.source(row) for row, _ in repeats)
        examples = tuple(digests.example(*pair) for pair in repeats[: settings.examples])
        yield Whole("", len(repeats), examples, sources=sources)
