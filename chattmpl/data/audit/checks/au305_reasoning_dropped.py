from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.data.reasoning_mode import trace_of


class LostReasoning(Check):
    """The template drops all reasoning of a row.

    Reports rows with reasoning in its field of which no character is rendered. `amount` counts the traces.

    ## Why is this bad?

    The reasoning was paid for but the model never sees it: it learns answers without the reasoning that led to them.

    ## What to do

    Choose another retention (`--retention all`) or a template that renders reasoning, or enable reasoning.
    """

    severity = "warning"
    message = "there is reasoning, but none of it is rendered"
    hint = "use --retention all, enable reasoning, or choose another template"
    unit = "traces"

    def check_row(self, view: RowView) -> RowFindings:
        held = [index for index in view.thinking if trace_of(view.messages[index])]
        if held and view.lost_reasoning.issuperset(held):
            yield RowFinding("", f"messages[{min(held)}]", len(held))
