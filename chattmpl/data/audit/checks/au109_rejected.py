"""AU109."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class Rejected(Kind):
    """A row cannot be encoded.

    ## What it does

    Reports rows that `chattmpl encode` would reject, by reason: `json` (it is not JSON), `conversation` (it is no
    conversation), `render` (the template refuses it), `budget` (it renders for too long), `encode` (its text cannot
    be encoded).

    ## Why is this bad?

    A loader that skips such rows loses them without a word, one that does not stops in the middle of the night.

    ## What to do

    The message of each example says what is wrong. `chattmpl encode` writes all of them to `rejected.jsonl`.
    """

    code = "AU109"
    name = "rejected"
    severity = "error"
    says = "the row cannot be encoded ({key})"
    hint = "chattmpl encode writes such rows to rejected.jsonl, each with its reason"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        refusal = view.scanned.rejection
        if refusal is not None:
            where = f"{refusal.place}: " if refusal.place and refusal.place not in refusal.message else ""
            yield Note(refusal.reason, where + refusal.message)
