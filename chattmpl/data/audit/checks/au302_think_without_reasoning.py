from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView


class ThinkWithoutReasoning(Check):
    """A row that enables reasoning has none.

    Reports rows in which `enable_thinking` is true or the text contains `/think`, but no turn to which this applies has
    reasoning (key `asked`). If the row requests no mode and the template reasons by default, this is a note (key `by
    default`).

    ## Why is this bad?

    The model learns to answer without reasoning when asked to reason, which dilutes the mode.
    """

    severity = "warning"
    message = {
        "asked": "reasoning is enabled, but the row contains none",
        "by default": "no mode is requested and the template reasons by default, but there is no reasoning",
    }
    hint = (
        "give such rows, or their source in a mixture, chat_template_kwargs: {enable_thinking: false}, or write "
        "/no_think, or remove them"
    )
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        asked = [index for index, mode in view.asked if mode == "think"]
        if asked and view.thinking.isdisjoint(asked):
            yield RowFinding("asked", f"messages[{asked[-1]}]")
        unasked = bool(view.asked) and all(mode is None for _, mode in view.asked)
        if unasked and not view.thinking and view.switch.default == "think":
            yield RowFinding("by default", severity="info")
