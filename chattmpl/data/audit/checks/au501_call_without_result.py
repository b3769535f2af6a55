from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class CallWithoutResult(Check):
    """A tool call has no result.

    Reports rows in which a message with tool calls is followed by a user or assistant message before there are as many
    results as calls. Calls at the end of the conversation are accepted.

    ## Why is this bad?

    The model learns to call a tool and to continue without waiting for the result.
    """

    severity = "warning"
    message = "a tool call has no result"
    hint = "add the result, or remove the call"
    unit = "calls"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        found = []
        results = 0  # number of results that directly follow the message
        for index in range(len(view.messages) - 1, -1, -1):
            message = view.messages[index]
            calls = len(message.get("tool_calls") or ())
            if calls > results and index + 1 + results < len(view.messages):
                found.append(RowFinding("", f"messages[{index}]", calls - results))
            results = results + 1 if message.get("role") == "tool" else 0
        yield from reversed(found)
