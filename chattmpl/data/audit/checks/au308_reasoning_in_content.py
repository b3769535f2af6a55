from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.reasoning_mode import has_reasoning_in_content


class ReasoningInContent(Check):
    """Reasoning is in the content.

    Reports rows in which the content of an assistant message has text between `<think>` and `</think>`.

    ## Why is this bad?

    Retention, modes and masks apply only to the field `reasoning_content`: reasoning in the content is kept in history,
    and a template that writes its own think block writes two.
    """

    severity = "warning"
    message = "reasoning is in the content of a message"
    hint = "move it to reasoning_content"
    unit = "messages"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        wrong = [index for index in sorted(view.thinking) if has_reasoning_in_content(view.messages[index])]
        if wrong:
            yield RowFinding("", f"messages[{wrong[0]}]", len(wrong))
