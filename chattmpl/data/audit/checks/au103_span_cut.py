"""AU103."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class SpanCut(Kind):
    """The length limit cuts through what is trained.

    ## What it does

    With `--max-length N`, reports rows in which both the last token that is kept and the first that is cut away are
    trained. `amount` counts the trained tokens that are lost.

    ## Why is this bad?

    An answer without its end teaches the model to stop anywhere, and its stop token is gone.

    ## What to do

    Raise the limit, or let `chattmpl encode --overflow truncate-turns` shorten rows by whole turns.
    """

    code = "AU103"
    name = "span-cut"
    severity = "warning"
    says = "the length limit cuts through a generated span"
    hint = "raise the limit, or shorten rows by whole turns (chattmpl encode --overflow truncate-turns)"
    unit = "trained tokens lost"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        limit, mask = view.settings.max_length, view.row.mask
        if limit is not None and len(mask) > limit and mask[limit - 1] and mask[limit]:
            lost = int(mask[limit:].sum())
            yield Note("", f"{lost} of {int(mask.sum())} trained tokens are cut away", lost)
