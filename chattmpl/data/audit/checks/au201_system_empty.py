"""AU201."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.emptiness import empty
from chattmpl.data.audit.row_view import View


class SystemEmpty(Kind):
    """A system message says nothing.

    ## What it does

    Reports rows whose system or developer message is None, empty, only white space, or the word `None`, `null` or
    `nan`, which a preprocessing step wrote. The key says which.

    ## Why is this bad?

    Templates differ in what they make of it: nothing, an empty turn, a default text, or the word None. None of it
    is what was meant.

    ## What to do

    Remove the message where there is no system prompt, and mend the step that made it so.
    """

    code = "AU201"
    name = "system-empty"
    severity = "warning"
    says = "the system message is {key}"
    hint = "remove the message where there is no system prompt"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        for index, message in enumerate(view.messages):
            if message.get("role") in ("system", "developer"):
                key = empty(message.get("content"))
                if key is not None:
                    yield Note(key, f"messages[{index}]")
