from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class NoThinkWithReasoning(Check):
    """A row that disables reasoning has reasoning.

    Reports rows in which an assistant turn has reasoning (in its field, or between `<think>` and `</think>` in its
    content), although `enable_thinking` is false or the text contains `/no_think`.

    ## Why is this bad?

    The model learns to reason against its instructions, or the template drops the trace and the answer lacks its basis.
    """

    severity = "error"
    message = "reasoning is disabled, but the row contains reasoning"
    hint = "remove the reasoning, or enable it"
    unit = "turns"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        wrong = [index for index, mode in view.asked if mode == "no-think" and index in view.thinking]
        if wrong:
            yield RowFinding("", f"messages[{wrong[0]}]", len(wrong))
