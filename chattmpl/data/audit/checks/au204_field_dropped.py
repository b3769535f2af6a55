"""AU204."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Check, RowFinding
from chattmpl.data.audit.row_view import RowView

_INDEX = re.compile(r"\[\d+\]")
_CONTENT = re.compile(r"messages\[(\d+)\]\.content\b")
_REASONING = re.compile(r"^messages\[\d+\]\.(?:reasoning_content|reasoning|thinking)\b")
_IDS = (".tool_call_id", "tool_calls[].id")


class FieldDropped(Check):
    """A field of the data is not rendered.

    ## What it does

    Reports each field of which no character is rendered; `amount` counts the fields. Losses that the family declares,
    and ids of tool calls, are notes. AU304 and AU305 report reasoning, AU203 system prompts.

    ## Why is this bad?

    The author of the answer saw the field, but the model will not.

    ## What to do

    Choose a template that renders the field, or remove it from the data deliberately.
    """

    code = "AU204"
    name = "field-dropped"
    severity = "warning"
    message = "the template does not render {key}"
    hint = "choose a template that renders the field, or remove it from the data deliberately"
    unit = "fields"

    def check_row(self, view: RowView) -> Iterator[RowFinding]:
        """Yield the findings in one row."""
        for path, why in view.losses:
            field = _INDEX.sub("[]", path)
            if path == "chat_template_kwargs.custom_instructions" or _REASONING.search(path):
                continue
            match = _CONTENT.match(path)
            if match and view.role(int(match[1])) in ("system", "developer"):
                continue
            known = why or ("an id, which models do not need" if field.endswith(_IDS) else "")
            yield RowFinding(f"{field} ({known})" if known else field, path, severity="info" if known else None)
