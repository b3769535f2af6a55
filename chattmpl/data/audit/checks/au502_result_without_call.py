from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class ResultWithoutCall(Check):
    """A tool result has no call.

    Reports rows with a tool message that answers no call (key `no call`), or whose `tool_call_id` matches none of the
    preceding calls (key `id`).

    ## Why is this bad?

    The model sees a result that nothing requested, or one that follows the wrong call.
    """

    severity = "error"
    message = "a tool result has no call ({key})"
    hint = "correct the ids, or remove the result"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        open_ids: list[str | None] = []
        for index, message in enumerate(view.messages):
            role, named = message.get("role"), message.get("tool_call_id")
            if role == "assistant":
                open_ids = [call.get("id") for call in message.get("tool_calls") or ()]
            elif role == "user":
                open_ids = []
            elif role == "tool":
                if not open_ids:
                    yield RowFinding("no call", f"messages[{index}]")
                elif named is not None and any(open_ids) and named not in open_ids:
                    yield RowFinding("id", f"messages[{index}].tool_call_id")
                else:
                    open_ids.remove(named if named in open_ids else open_ids[0])
