"""AU305."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.data.reasoning_mode import trace_of

_REASONING = re.compile(r"messages\[(\d+)\]\.(?:reasoning_content|reasoning|thinking)\b")


class ReasoningDropped(Kind):
    """The template drops all reasoning of a row.

    ## What it does

    Reports rows that have reasoning in its field, of which no character is rendered. `amount` counts the traces.

    ## Why is this bad?

    The reasoning was paid for, and the model never sees it: it learns answers without what led to them.

    ## What to do

    Choose another retention (`--retention all`), switch reasoning on, or a template that renders it.
    """

    code = "AU305"
    name = "reasoning-dropped"
    severity = "warning"
    says = "there is reasoning, and none of it is rendered"
    hint = "--retention all keeps it, where the template can; else switch the mode on, or choose another template"
    unit = "traces"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        held = [index for index in view.thinking if trace_of(view.messages[index])]
        if not held:
            return
        lost = {int(match[1]) for path, _ in view.losses if (match := _REASONING.match(path))}
        if lost.issuperset(held):
            yield Note("", f"messages[{min(held)}]", len(held))
