"""AU203."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Note
from chattmpl.data.audit.emptiness import empty
from chattmpl.data.audit.finding import Severity
from chattmpl.data.audit.row_view import View

_SYSTEM = re.compile(r"messages\[(\d+)\]\.content\b")
_INSTRUCTIONS = "chat_template_kwargs.custom_instructions"
_SAYS = {
    "absent": "there is no system message, and the template writes a default one",
    "empty": "the system message says nothing, and the template writes a default one",
    "dropped": "the template does not render the system message",
    "custom_instructions": "the template does not render custom_instructions",
}


class SystemReplaced(Kind):
    """The template writes its own system prompt, or drops the one that is given.

    ## What it does

    Four keys: `absent` (there is no system message, and the template writes a default one: for information),
    `empty` (a system message that says nothing is replaced by the default), `dropped` (a system message that says
    something is not rendered: an error), and `custom_instructions` (they are not rendered).

    ## Why is this bad?

    The default is baked into training without anyone having chosen it; a prompt that is dropped leaves answers
    without what they answer to.

    ## What to do

    Say in the data what the system prompt is, or choose a template that has a place for it.
    """

    code = "AU203"
    name = "system-replaced"
    severity = "warning"
    says = "{key}"
    hint = "say in the data what the system prompt is, or choose a template that has a place for it"

    def row(self, view: View) -> Iterator[Note]:
        """What is wrong with one row."""
        told = [message for message in view.messages if message.get("role") in ("system", "developer")]
        for path, _ in view.losses:
            if (match := _SYSTEM.match(path)) and view.role(int(match[1])) in ("system", "developer"):
                yield Note("dropped", path)
        given = view.kwargs.get("custom_instructions")
        fields = {span.field or "" for span in view.rendering.spans}
        if empty(given) is None and not any(field.startswith(_INSTRUCTIONS) for field in fields):
            yield Note("custom_instructions")
        default = view.background.default_system
        if default is not None and default in view.rendering.text:
            if not told:
                yield Note("absent")
            elif all(empty(message.get("content")) for message in told):
                yield Note("empty")

    def message(self, key: str, detail: str = "") -> str:
        """What is wrong."""
        return _SAYS[key]

    def severity_of(self, key: str) -> Severity:
        """A prompt that is dropped is the worst, one that nobody gave the least."""
        return "error" if key == "dropped" else "info" if key == "absent" else self.severity
