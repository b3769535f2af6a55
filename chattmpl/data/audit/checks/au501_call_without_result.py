"""AU501."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class CallWithoutResult(Kind):
    """A tool call has no result.

    ## What it does

    Reports rows in which a message with tool calls is followed by another message of the user or the assistant
    before there were as many results as calls. Calls that end the conversation are fine.

    ## Why is this bad?

    The model learns to call a tool and to go on without waiting.

    ## What to do

    Add the results, or drop the calls.
    """

    code = "AU501"
    name = "call-without-result"
    severity = "warning"
    says = "a tool call is followed by no result"
    hint = "add the result, or drop the call"
    unit = "calls"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        for index, message in enumerate(view.messages):
            calls = len(message.get("tool_calls") or ())
            behind = [other.get("role") for other in view.messages[index + 1 :]]
            results = next((number for number, role in enumerate(behind) if role != "tool"), len(behind))
            if calls and len(behind) > results < calls:
                yield Note("", f"messages[{index}]", calls - results)
