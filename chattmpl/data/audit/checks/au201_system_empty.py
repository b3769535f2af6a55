from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView, empty


class SystemEmpty(Check):
    """A system message is empty.

    Reports rows whose system or developer message is None, empty, only white space, or the word `None`, `null` or
    `nan`, which preprocessing wrote. The key says which.

    ## Why is this bad?

    Templates render it differently: as nothing, an empty turn, a default text, or the word None. None of this is
    intended.

    ## What to do

    Remove the message if there is no system prompt, and fix the preprocessing step.
    """

    severity = "warning"
    message = "the system message is {key}"
    hint = "remove the message if there is no system prompt"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        for index, message in enumerate(view.messages):
            if message.get("role") in ("system", "developer"):
                key = empty(message.get("content"))
                if key is not None:
                    yield RowFinding(key, f"messages[{index}]")
