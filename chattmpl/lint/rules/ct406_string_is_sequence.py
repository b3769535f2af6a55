from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.nodes import Test


class StringIsSequence(Rule):
    """A test for `sequence` without a test for `string`.

    Reports the test `sequence` in templates that never test for `string` or `mapping`.

    ## Why is this bad?

    A string is a sequence in Jinja2, but not in minijinja. Without a test for `string` first, the two engines take
    different branches for the same content.
    """

    example = "{% if message.content is sequence %}{{ message.content[0].text }}{% endif %}"
    use_instead = (
        "{% if message.content is string %}{{ message.content }}{% else %}{{ message.content[0].text }}{% endif %}"
    )
    severity = "info"
    message = "a string is a sequence in Jinja2 but not in minijinja, so the engines take different branches"
    hint = "test 'is string' first"

    def check(self, subject: LintContext) -> Findings:
        found: dict[str, Test] = {}
        for node in subject.tree.nodes(Test):
            found.setdefault(node.name, node)
        if "sequence" in found and not found.keys() & {"string", "mapping", "iterable"}:
            yield self.finding(subject.word(found["sequence"]))
