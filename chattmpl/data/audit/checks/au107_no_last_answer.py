"""AU107."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class NoLastAnswer(Kind):
    """A conversation does not end with the assistant.

    ## What it does

    Reports rows whose last message is not one of the assistant. The key is its role.

    ## Why is this bad?

    What stands behind the last answer is never trained on: tokens that are paid for. Often an answer was lost in
    preparation.

    ## What to do

    Cut the messages behind the last answer, or find the answer.
    """

    code = "AU107"
    name = "no-last-answer"
    severity = "warning"
    says = "the last message is one of the role {key}, not of the assistant"
    hint = "cut what stands behind the last answer, or find the answer that was lost"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        if view.messages and view.messages[-1].get("role") != "assistant":
            yield Note(str(view.messages[-1].get("role")))
