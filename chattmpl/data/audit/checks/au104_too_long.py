"""AU104."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class TooLong(Kind):
    """A row is longer than the length limit.

    ## What it does

    With `--max-length N`, reports rows of more than `N` tokens. `amount` counts the tokens above the limit.

    ## Why is this bad?

    trl cuts such rows at the end without a word, and packing by `bfd` throws the rest away.

    ## What to do

    Raise the limit, or choose what becomes of them: `chattmpl encode --overflow`.
    """

    code = "AU104"
    name = "too-long"
    severity = "warning"
    says = "the row is longer than the length limit"
    hint = "chattmpl encode --overflow decides what becomes of longer rows"
    unit = "tokens above the limit"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        limit, length = view.settings.max_length, len(view.row)
        if limit is not None and length > limit:
            yield Note("", f"{length} tokens", length - limit)
