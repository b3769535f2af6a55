"""AU602."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Whole
from chattmpl.data.audit.repeats import repeated
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals


class Duplicate(Kind):
    """A row repeats an earlier one.

    ## What it does

    Reports rows whose messages, tools, documents and template kwargs are those of an earlier row; the first of them
    is not counted. Nulls, the order of keys and other columns do not matter.

    ## Why is this bad?

    Repeated rows are learnt by heart, and if they stand in training and test data, they are measured so.

    ## What to do

    Drop the repetitions; where a source is to count more, say `epochs` in a mixture.
    """

    code = "AU602"
    name = "duplicate"
    severity = "warning"
    says = "the conversation is that of an earlier row"
    hint = "drop the repetitions"

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        yield from repeated(totals, settings, rendered=False)
