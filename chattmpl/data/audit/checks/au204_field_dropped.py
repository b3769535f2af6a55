"""AU204."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.finding import Severity
from chattmpl.data.audit.row_view import View

_INDEX = re.compile(r"\[\d+\]")
_CONTENT = re.compile(r"messages\[(\d+)\]\.content\b")
_REASONING = re.compile(r"^messages\[\d+\]\.(?:reasoning_content|reasoning|thinking)\b")
_IDS = (".tool_call_id", "tool_calls[].id")


class FieldDropped(Kind):
    """A field of the data is not rendered.

    ## What it does

    Reports each field from which no character came, and in how many rows; `amount` counts the fields. What the
    family declares, and ids of tool calls, are for information. Reasoning is reported by AU304 and AU305, system
    prompts by AU203.

    ## Why is this bad?

    The answer was written by someone who saw the field; the model will not see it.

    ## What to do

    Choose a template that has a place for the field, or drop it from the data knowingly.
    """

    code = "AU204"
    name = "field-dropped"
    severity = "warning"
    says = "the template does not render {key}"
    hint = "choose a template that renders the field, or drop it from the data knowingly"
    unit = "fields"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        for path, why in view.losses:
            field = _INDEX.sub("[]", path)
            if path == "chat_template_kwargs.custom_instructions" or _REASONING.search(path):
                continue
            match = _CONTENT.match(path)
            if match and view.role(int(match[1])) in ("system", "developer"):
                continue
            known = why or ("an id, which models are not asked for" if field.endswith(_IDS) else "")
            yield Note(f"{field} ({known})" if known else field, path)

    def severity_of(self, key: str) -> Severity:
        """What was declared is for information."""
        return "info" if key.endswith(")") else self.severity
