"""CT308."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule


class LateSystemDropped(Rule):
    """A system message that is not the first message is dropped.

    ## What it does

    Renders a conversation with a system message in the middle, and reports templates that write a first system message
    but not this one.

    ## Why is this bad?

    Instructions that an application adds during the conversation are silently lost.

    ## Example

    ```jinja
    {% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}
    ```
    """

    code = "CT308"
    name = "late-system-dropped"
    severity = "warning"
    message = "a system message in the middle of the conversation is silently dropped"
    hint = "render it at its position, or refuse it with raise_exception"
    law = "lossless"
    probes = True
    loses = ("messages[].content",)

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        rendering = subject.probe.losing("late_system", "messages[2].content", "badger")
        if rendering is None:
            return
        first = subject.probe.render("system")
        if first is None or "badger" not in first.text:
            return
        yield self.finding(
            subject.first(r"'system'", r"\bsystem\b", r"for \w+ in \w*messages"),
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
