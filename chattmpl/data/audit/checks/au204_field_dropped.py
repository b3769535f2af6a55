import re

from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView

_INDEX = re.compile(r"\[\d+\]")
_REASONING = re.compile(rf"messages\[\d+\]\.(?:{'|'.join(REASONING_NAMES)})\b")
_IDS = (".tool_call_id", "tool_calls[].id")


class FieldDropped(Check):
    """A field of the data is not rendered.

    Reports each field of which no character is rendered; `amount` counts the fields. Losses that the family declares,
    and ids of tool calls, are notes. AU304 and AU305 report reasoning, AU203 system prompts.

    ## Why is this bad?

    The author of the answer saw the field, but the model will not.
    """

    severity = "warning"
    message = "the template does not render {key}"
    hint = "choose a template that renders the field, or remove it from the data deliberately"
    unit = "fields"

    def check_row(self, view: RowView) -> RowFindings:
        for path, why in view.losses:
            field = _INDEX.sub("[]", path)
            elsewhere = path in view.lost_instructions or _REASONING.match(path)
            if elsewhere or path == "chat_template_kwargs.custom_instructions":
                continue
            if ".content[" in path:
                why = None  # what a family declares of a content is about its text
            known = why or ("an id, which models do not need" if field.endswith(_IDS) else "")
            yield RowFinding(f"{field} ({known})" if known else field, path, severity="info" if known else None)
