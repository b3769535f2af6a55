from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class NoLastAnswer(Check):
    """A conversation does not end with the assistant.

    Reports rows whose last message is not from the assistant. The key is its role.

    ## Why is this bad?

    Tokens after the last answer are never trained, but cost time. Often an answer was lost in preprocessing.
    """

    severity = "warning"
    message = "the last message has the role {key}, not assistant"
    hint = "remove the messages after the last answer, or restore the missing answer"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        if view.messages and view.messages[-1].get("role") != "assistant":
            yield RowFinding(str(view.messages[-1].get("role")))
