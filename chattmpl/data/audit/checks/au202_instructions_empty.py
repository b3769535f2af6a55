from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView, empty


class InstructionsEmpty(Check):
    """`custom_instructions` are empty.

    Reports rows whose `chat_template_kwargs.custom_instructions` are None, empty, only white space, or the word `None`,
    `null` or `nan`. The key says which.

    ## Why is this bad?

    transformers passes None to the template, and a template that tests `is defined` prints it. A column of a data set
    is often filled in one source and null in another.
    """

    severity = "warning"
    message = "custom_instructions are {key}"
    hint = "omit the key if there are no instructions"
    needs_row = False

    def check_row(self, view: RowView) -> RowFindings:
        given = {**view.kwargs, **view.own_kwargs, **view.encoder.kwargs}
        if "custom_instructions" in given:
            key = empty(given["custom_instructions"])
            if key is not None:
                yield RowFinding(key)
