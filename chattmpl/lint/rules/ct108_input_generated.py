"""CT108."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering


class InputGenerated(Rule):
    """Text that the model does not write is generated.

    ## What it does

    Reports generation tags around text from messages of the system, the user or a tool, or from tools.

    ## Why is this bad?

    The model is trained to write its users' questions and its tools' results. It will: after its answer it goes on
    with the next question.

    ## Example

    ```jinja
    {% generation %}{{ message.role }}: {{ message.content }}{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {% if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}
    ```
    """

    code = "CT108"
    name = "input-generated"
    severity = "error"
    explains = ("CT109", "CT110", "CT113")
    law = "pure"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        seen: list[str] = []
        first: tuple[Rendering, Span] | None = None
        for name in ("system", "calls", "late_system", "systems"):
            rendering = subject.probe.render(name)
            for span in () if rendering is None else rendering.spans:
                if rendering is None or not span.generated or span.derived or span.field in (None, "role"):
                    continue
                role = "tools" if span.message is None else rendering.conversation.messages[span.message].role
                if role != "assistant":
                    first = first or (rendering, span)
                    seen += [role] if role not in seen else []
        if first is None:
            return
        rendering, span = first
        yield self.finding(
            subject.blame(rendering, span.start),
            f"text of the {' and the '.join(seen)} is generated, {shown(rendering.text[span.start : span.end])}",
            "end the generation tag before it, or put the tag into the branch of the assistant",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
