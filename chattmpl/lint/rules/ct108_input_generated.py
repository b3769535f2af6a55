from chattmpl.lint.rule import Findings, LintContext, Quoted, Rendering, Rule
from chattmpl.template.spans import Span


class InputGenerated(Rule):
    """Input text is in a generated span.

    Reports generation tags around text of system, user or tool messages, or of tool definitions.

    ## Why is this bad?

    The model is trained to write the user's questions and the tools' results. After its answer, it will continue with
    the next question.
    """

    example = "{% generation %}{{ message.role }}: {{ message.content }}{% endgeneration %}"
    use_instead = (
        "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}"
    )
    severity = "error"
    message = "text of the {roles} is in a generated span: {text}"
    hint = "end the generation tag before it, or move the tag into the assistant's branch"
    explains = ("CT109", "CT110", "CT113")
    law = "pure"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
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
        yield self.finding_in(
            subject,
            rendering,
            span.start,
            roles=" and the ".join(seen),
            text=Quoted(rendering.text[span.start : span.end]),
        )
