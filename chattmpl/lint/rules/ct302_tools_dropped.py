from chattmpl.lint.rule import Findings, LintContext, Rule

_PARTS = {
    "the second of two tools": "count_seals",
    "the description of a tool": "Finds a walrus",
    "the parameter of a tool": "beach",
}
"""The parts of tools that the model needs, each with a word that shows that it is rendered."""


class ToolsDropped(Rule):
    """Tools are dropped.

    Renders a conversation with a tool, and reports templates that do not write its name.

    Also reports templates that drop the second of two tools, or the description or parameters of a tool.

    ## Why is this bad?

    The model is asked without knowing its tools. Trained on such rows, it learns to call tools that it has not been
    given.
    """

    example = "{% for m in messages %}{{ m.content }}{% endfor %}"
    use_instead = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"
    severity = "warning"
    message = {
        "all": "tools are silently dropped",
        "without-system": "tools are silently dropped if there is no system message",
        "partly": "{part} is silently dropped",
    }
    hint = {
        "all": "render tools, or refuse them: {% if tools %}{{ raise_exception('no tools') }}{% endif %}",
        "without-system": "render tools, or refuse them: {% if tools %}{{ raise_exception('no tools') }}{% endif %}",
        "partly": "write every tool with its description and parameters: {{ tool | tojson }}",
    }
    law = "lossless"
    loses = ("tools",)

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.losing("tools", "tools[0].function.name", "find_walrus")
        if rendering is None:
            yield from self._partly(subject)
            return
        beside = subject.probe.render("system_tools")
        written = beside is not None and "find_walrus" in beside.text
        yield self.finding(
            subject.first(r"\btools\b", r"for \w+ in \w*messages"),
            "without-system" if written else "all",
            severity=None if subject.reads("tools") or subject.reads("tool_calls") else "info",
            rendering=rendering,
        )

    def _partly(self, subject: LintContext) -> Findings:
        """Yield a finding if only one of two tools, or only a part of a tool, is written."""
        rendering = subject.probe.render("tools")
        if rendering is None or "find_walrus" not in rendering.text:
            return
        missing = [what for what, word in _PARTS.items() if word not in rendering.text]
        if missing:
            yield self.finding_in(subject, rendering, rendering.text.index("find_walrus"), "partly", part=missing[0])
