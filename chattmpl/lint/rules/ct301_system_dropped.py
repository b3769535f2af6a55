from chattmpl.lint.rule import Findings, LintContext, Rule


class SystemDropped(Rule):
    """A system message is dropped.

    Renders a conversation that begins with a system message, and reports templates that do not write it.

    Also reports templates that drop it if there are tools.

    ## Why is this bad?

    The instructions are silently lost, in training and in serving. A template that has no place for them should refuse
    them with `raise_exception`, or put them before the first question.
    """

    example = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    use_instead = "{% for m in messages %}{% if m.role in ('system', 'user') %}{{ m.content }}{% endif %}{% endfor %}"
    severity = "error"
    message = {
        "always": "the system message is silently dropped",
        "with-tools": "the system message is silently dropped if there are tools",
    }
    hint = {
        "always": "render it, put it before the first question, or refuse it with raise_exception",
        "with-tools": "render it next to the tools, or refuse it with raise_exception",
    }
    explains = ("CT304:line", "CT318")
    law = "lossless"
    loses = ("messages[].content",)

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.losing("system", "messages[0].content", "badger")
        if rendering is None:
            yield from self._with_tools(subject)
            return
        plain = subject.probe.render("turns")
        if plain is None or "quince" not in plain.text:
            return
        yield self.finding(subject.first(r"for \w+ in \w*messages"), "always", rendering=rendering)

    def _with_tools(self, subject: LintContext) -> Findings:
        """Yield a finding if tools replace the system message."""
        rendering = subject.probe.losing("system_tools", "messages[0].content", "badger")
        if rendering is not None and "quince" in rendering.text and subject.probe.render("system") is not None:
            yield self.finding(subject.first(r"\bif tools\b", r"\btools\b"), "with-tools", rendering=rendering)
