"""AU603."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Whole
from chattmpl.data.audit.repeats import repeated
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals


class SameText(Kind):
    """Different rows render to the same text.

    ## What it does

    Reports rows whose text is that of an earlier row with another conversation. Rows that repeat a conversation are
    reported by AU602 alone.

    ## Why is this bad?

    What made them different is lost in the template; and the text is learnt by heart.

    ## What to do

    See AU204 for the fields that are dropped, or drop the repetitions.
    """

    code = "AU603"
    name = "same-text"
    severity = "warning"
    says = "the conversation is a new one, and its text that of an earlier row"
    hint = "see which fields the template drops, or drop the repetitions"

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        yield from repeated(totals, settings, rendered=True)
