"""AU101."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class NothingTrained(Kind):
    """No token of a row is trained.

    ## What it does

    Reports rows whose mask is all zeros: the template has no generation tags, the row has no message of the
    assistant, or all of them are marked `train: false`.

    ## Why is this bad?

    Such a row costs time and teaches nothing. If it is all rows, the loss is not a number, or is silently zero.

    ## What to do

    Add generation tags to the template (`chattmpl annotate`), choose a training template, or leave the rows out.
    Where flags are the reason, see whether they are meant.
    """

    code = "AU101"
    name = "nothing-trained"
    severity = "error"
    says = "no token of the row is trained"
    hint = "chattmpl annotate adds generation tags to a template; rows without an answer are better left out"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        if not view.row.trained:
            yield Note()
