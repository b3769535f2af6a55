from chattmpl.lint.rule import Findings, LintContext, Rule


class ToolResultsDropped(Rule):
    """Tool results are dropped.

    Renders a tool call with its result, and reports templates that write the call but not the content of the result.

    ## Why is this bad?

    The model is trained to answer from a result that it cannot see: it learns to invent one.
    """

    example = (
        "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{{ m.tool_calls | tojson }}{% endif %}"
        "{% endfor %}"
    )
    use_instead = (
        "{% for m in messages %}{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}"
    )
    severity = "warning"
    message = "tool results are silently dropped"
    hint = "render messages with the role tool, or refuse them with raise_exception"
    law = "lossless"
    per_mode = True
    loses = ("messages[].content", "messages[role=tool].content")

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.losing("calls", "messages[2].content", "raspberry")
        if rendering is None:
            return
        yield self.finding(
            subject.first(r"'tool'", r"\btool\b", r"for \w+ in \w*messages"),
            severity="error" if "lefttusk" in rendering.text else None,
            rendering=rendering,
        )
