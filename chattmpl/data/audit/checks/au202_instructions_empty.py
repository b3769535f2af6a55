"""AU202."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.emptiness import empty
from chattmpl.data.audit.row_view import View


class InstructionsEmpty(Kind):
    """custom_instructions say nothing.

    ## What it does

    Reports rows whose `chat_template_kwargs.custom_instructions` are None, empty, only white space, or the word
    `None`, `null` or `nan`. The key says which.

    ## Why is this bad?

    transformers hands None to the template as it is, and a template that asks `is defined` prints it. The same
    column of a data set is often filled in one source and null in another.

    ## What to do

    Leave the key out where there are no instructions.
    """

    code = "AU202"
    name = "instructions-empty"
    severity = "warning"
    says = "custom_instructions are {key}"
    hint = "leave the key out where there are no instructions"
    needs_row = False

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        given = {**view.kwargs, **view.own_kwargs, **view.encoder.kwargs}
        if "custom_instructions" in given:
            key = empty(given["custom_instructions"])
            if key is not None:
                yield Note(key)
