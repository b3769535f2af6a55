from chattmpl.lint.rule import Findings, LintContext, Rule


class DeveloperDropped(Rule):
    """A developer message is dropped.

    Renders conversations with a developer message: as the first message, with tools, after a system message, and in the
    middle. Reports a template that renders nothing of it.

    ## Why is this bad?

    OpenAI's API calls instructions of the application `developer` messages, and data sets and clients use the role. The
    instructions are silently lost, in training and when serving.
    """

    example = "{% for m in messages %}{% if m.role in ('system', 'user') %}{{ m.content }}{% endif %}{% endfor %}"
    use_instead = (
        "{% for m in messages %}{% if m.role in ('system', 'developer', 'user') %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    severity = "warning"
    message = {
        "first": "a developer message is silently dropped",
        "with tools": "a developer message is silently dropped if there are tools",
        "with a system message": "a developer message after a system message is silently dropped",
        "late": "a developer message in the middle of the conversation is silently dropped",
    }
    hint = dict.fromkeys(message, "render it as a system message, or refuse it with raise_exception")
    law = "lossless"
    loses = ("messages[role=developer]", "messages[].content")

    def check(self, subject: LintContext) -> Findings:
        subject.probe.render("developer")
        plain = subject.probe.render("turn")
        if plain is None or "quince" not in plain.text:
            return
        yield from self.first_dropped(subject, subject.facts.developer_places())
