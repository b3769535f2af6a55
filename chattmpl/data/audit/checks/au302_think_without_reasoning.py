"""AU302."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.finding import Severity
from chattmpl.data.audit.row_view import View


class ThinkWithoutReasoning(Kind):
    """A row that asks for reasoning has none.

    ## What it does

    Reports rows in which `enable_thinking` is true or the text says `/think`, and no turn to which that applies has
    reasoning. Where nothing is asked for, and the template reasons by default, it is for information (the key `by
    default`).

    ## Why is this bad?

    The model learns to answer without reasoning where it is told to reason: the mode is diluted.

    ## What to do

    Mark such rows as `enable_thinking: false` or `/no_think`, or leave them out.
    """

    code = "AU302"
    name = "think-without-reasoning"
    severity = "warning"
    says = "{key}"
    hint = "mark such rows as enable_thinking: false or /no_think, or leave them out"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        asked = [index for index, mode in view.asked if mode == "think"]
        if asked and view.thinking.isdisjoint(asked):
            yield Note("asked", f"messages[{asked[-1]}]")
        unasked = bool(view.asked) and all(mode is None for _, mode in view.asked)
        if unasked and not view.thinking and view.switch.default == "think":
            yield Note("by default")

    def message(self, key: str, detail: str = "") -> str:
        """What is wrong."""
        if key == "asked":
            return "reasoning is asked for, and there is none"
        return "no mode is asked for, the template reasons by default, and there is no reasoning"

    def severity_of(self, key: str) -> Severity:
        """Where nothing was asked for it may be meant."""
        return self.severity if key == "asked" else "info"
