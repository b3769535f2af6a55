"""AU205."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.row_view import View
from chattmpl.printable import excerpt

_OWN = frozenset({"messages", "tools", "documents", "chat_template_kwargs", "template"})


class KwargBeside(Kind):
    """A column has the name of a template kwarg, and does not reach the template.

    ## What it does

    Reports rows with a key beside `messages` that the template reads as a kwarg, such as `enable_thinking` or
    `custom_instructions`, and that is not in `chat_template_kwargs`. The key is its name.

    ## Why is this bad?

    Renderers pass `chat_template_kwargs` to the template, and no other column: the row is rendered as if the column
    were not there.

    ## What to do

    Move it into `chat_template_kwargs`, or name it under `kwargs_from` in a mixture.
    """

    code = "AU205"
    name = "kwarg-beside"
    severity = "warning"
    says = "the column {key} is a kwarg of the template, and does not reach it"
    hint = "move it into chat_template_kwargs, or name it under kwargs_from in a mixture"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """The row."""
        record = view.scanned.record
        if not isinstance(record, Mapping):
            return
        for name in sorted(view.encoder.template.program.variables.intersection(record) - _OWN):
            if record[name] is not None and name not in view.kwargs:
                yield Note(name, excerpt(record[name]))
