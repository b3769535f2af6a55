"""AU105."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class NothingLeft(Kind):
    """The length limit leaves nothing to train.

    ## What it does

    With `--max-length N`, reports rows that have something to train, but not in their first `N` tokens.

    ## Why is this bad?

    After truncation such a row is a row of prompt alone. Packing keeps it, and the batch is smaller than it seems.

    ## What to do

    Raise the limit, or leave the rows out: `chattmpl encode` sets them aside and counts them.
    """

    code = "AU105"
    name = "nothing-left"
    severity = "error"
    says = "nothing that is trained is left under the length limit"
    hint = "raise the limit; chattmpl encode sets such rows aside"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        limit, mask = view.settings.max_length, view.row.mask
        if limit is not None and mask.any() and not mask[:limit].any():
            yield Note("", f"training begins at token {int(mask.argmax())}")
