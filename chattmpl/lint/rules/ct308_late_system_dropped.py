from chattmpl.lint.rule import Findings, LintContext, Rule


class LateSystemDropped(Rule):
    """A system message that is not the first message is dropped.

    Renders conversations with a system message after the first message, with and without another one at the start, and
    reports a template that renders a leading system message and drops that one.

    ## Why is this bad?

    Instructions that an application adds later are silently lost.
    """

    example = "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
    use_instead = "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    severity = "warning"
    message = {
        "only": "a system message in the middle of the conversation is silently dropped",
        "second": "a second system message, in the middle of the conversation, is silently dropped",
        "adjacent": "a second system message, right after the first, is silently dropped",
        "with tools": "a second system message is silently dropped if there are tools",
        "last": "a system message at the end of the conversation is silently dropped",
    }
    hint = dict.fromkeys(message, "render it at its position, or refuse it with raise_exception")
    law = "lossless"
    loses = ("messages[].content",)

    def check(self, subject: LintContext) -> Findings:
        for name in ("late_system", "systems"):
            subject.probe.render(name)
        if subject.facts.system.fate != "rendered":
            return
        yield from self.first_dropped(subject, subject.facts.late_system())
