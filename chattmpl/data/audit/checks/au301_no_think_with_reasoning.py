"""AU301."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class NoThinkWithReasoning(Kind):
    """A row that asks for no reasoning has some.

    ## What it does

    Reports rows in which a turn of the assistant has reasoning (in its field, or between `<think>` and `</think>`
    in its content) although `enable_thinking` is false or the text says `/no_think`.

    ## Why is this bad?

    The model learns to reason where it is told not to; or the template drops the trace, and the answer hangs in the
    air.

    ## What to do

    Drop the reasoning, or ask for it.
    """

    code = "AU301"
    name = "no-think-with-reasoning"
    severity = "error"
    says = "no reasoning is asked for, and there is some"
    hint = "drop the reasoning, or ask for it"
    unit = "turns"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        wrong = [index for index, mode in view.asked if mode == "no-think" and index in view.thinking]
        if wrong:
            yield Note("", f"messages[{wrong[0]}]", len(wrong))
