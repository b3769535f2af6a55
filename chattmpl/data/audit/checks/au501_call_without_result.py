from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Check, RowFinding
from chattmpl.data.audit.row_view import RowView


class CallWithoutResult(Check):
    """A tool call has no result.

    ## What it does

    Reports rows in which a message with tool calls is followed by a user or assistant message before there are as many
    results as calls. Calls at the end of the conversation are accepted.

    ## Why is this bad?

    The model learns to call a tool and to continue without waiting for the result.

    ## What to do

    Add the results, or remove the calls.
    """

    severity = "warning"
    message = "a tool call has no result"
    hint = "add the result, or remove the call"
    unit = "calls"
    needs_row = False

    def check_row(self, view: RowView) -> Iterator[RowFinding]:
        for index, message in enumerate(view.messages):
            calls = len(message.get("tool_calls") or ())
            behind = [other.get("role") for other in view.messages[index + 1 :]]
            results = next((number for number, role in enumerate(behind) if role != "tool"), len(behind))
            if calls and len(behind) > results < calls:
                yield RowFinding("", f"messages[{index}]", calls - results)
