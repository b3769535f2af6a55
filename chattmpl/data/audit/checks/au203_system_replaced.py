from chattmpl.data.audit.check import Check, RowFinding, RowFindings, RowView, empty

_INSTRUCTIONS = "chat_template_kwargs.custom_instructions"


class SystemReplaced(Check):
    """The template writes its own system prompt, or drops the given one.

    Reports rows by key: `absent` (there is no system message, and the template writes a default: a note), `empty` (an
    empty system message is replaced by the default), `dropped` (a system message is not rendered: an error), and
    `custom_instructions` (these are not rendered).

    ## Why is this bad?

    The default becomes part of training although no one chose it. Without a dropped prompt, the answers have nothing to
    answer to.
    """

    severity = "warning"
    message = {
        "absent": "there is no system message, and the template writes a default one",
        "empty": "the system message is empty, and the template writes a default one",
        "dropped": "the template does not render the system message",
        "custom_instructions": "the template does not render custom_instructions",
    }
    hint = "put the system prompt into the data, or choose a template that renders it"

    def check_row(self, view: RowView) -> RowFindings:
        given_messages = [message for index, message in enumerate(view.messages) if view.instructs(index)]
        for path in view.lost_instructions:
            yield RowFinding("dropped", path, severity="error")
        given = view.kwargs.get("custom_instructions")
        fields = {span.field or "" for span in view.rendering.spans}
        if empty(given) is None and not any(field.startswith(_INSTRUCTIONS) for field in fields):
            yield RowFinding("custom_instructions")
        default = view.background.default_system
        if default is not None and default in view.rendering.text:
            if not given_messages:
                yield RowFinding("absent", severity="info")
            elif all(empty(message.get("content")) for message in given_messages):
                yield RowFinding("empty")
