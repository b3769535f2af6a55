"""AU305."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Check, RowFinding
from chattmpl.data.audit.row_view import RowView
from chattmpl.data.reasoning_mode import trace_of

_REASONING = re.compile(r"messages\[(\d+)\]\.(?:reasoning_content|reasoning|thinking)\b")


class ReasoningDropped(Check):
    """The template drops all reasoning of a row.

    ## What it does

    Reports rows with reasoning in its field of which no character is rendered. `amount` counts the traces.

    ## Why is this bad?

    The reasoning was paid for but the model never sees it: it learns answers without the reasoning that led to them.

    ## What to do

    Choose another retention (`--retention all`) or a template that renders reasoning, or enable reasoning.
    """

    code = "AU305"
    name = "reasoning-dropped"
    severity = "warning"
    message = "there is reasoning, but none of it is rendered"
    hint = "use --retention all, enable reasoning, or choose another template"
    unit = "traces"

    def check_row(self, view: RowView) -> Iterator[RowFinding]:
        """Yield the findings in one row."""
        held = [index for index in view.thinking if trace_of(view.messages[index])]
        if not held:
            return
        lost = {int(match[1]) for path, _ in view.losses if (match := _REASONING.match(path))}
        if lost.issuperset(held):
            yield RowFinding("", f"messages[{min(held)}]", len(held))
