"""AU502."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View


class ResultWithoutCall(Kind):
    """A tool result belongs to no call.

    ## What it does

    Reports rows with a message of a tool that answers no call (key `no call`), or whose `tool_call_id` is the id of
    none of the calls that it follows (key `id`).

    ## Why is this bad?

    The model sees a result that nothing asked for, or one beside the wrong call.

    ## What to do

    Mend the ids, or drop the results.
    """

    code = "AU502"
    name = "result-without-call"
    severity = "error"
    says = "a tool result belongs to no call ({key})"
    hint = "mend the ids, or drop the result"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        open_ids: list[str | None] = []
        for index, message in enumerate(view.messages):
            role, named = message.get("role"), message.get("tool_call_id")
            if role == "assistant":
                open_ids = [call.get("id") for call in message.get("tool_calls") or ()]
            elif role == "user":
                open_ids = []
            elif role == "tool":
                if not open_ids:
                    yield Note("no call", f"messages[{index}]")
                elif named is not None and any(open_ids) and named not in open_ids:
                    yield Note("id", f"messages[{index}].tool_call_id")
                else:
                    open_ids.remove(named if named in open_ids else open_ids[0])
