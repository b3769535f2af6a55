from collections.abc import Mapping

from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView
from chattmpl.printable import excerpt

_OWN = frozenset({"messages", "tools", "documents", "chat_template_kwargs", "template"})


class KwargBeside(Check):
    """A column with the name of a template kwarg does not reach the template.

    Reports rows with a column next to `messages` that the template reads as a kwarg, such as `enable_thinking` or
    `custom_instructions`, but that is not in `chat_template_kwargs`. The key is its name.

    ## Why is this bad?

    Only `chat_template_kwargs` are passed to the template, so the row is rendered as if the column did not exist.
    """

    severity = "warning"
    message = "the column {key} is a kwarg of the template, but does not reach it"
    hint = "move it into chat_template_kwargs, or list it under kwargs_from in a mixture"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        record = view.scanned.record
        if not isinstance(record, Mapping):
            return
        for name in sorted(view.encoder.template.program.variables.intersection(record) - _OWN):
            if record[name] is not None and name not in view.kwargs:
                yield RowFinding(name, excerpt(record[name]))
