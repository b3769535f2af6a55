from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.syntax.items import assignments, exclusive


class AssignmentLost(Rule):
    """A variable is set inside a generation tag and read after it.

    Reports a `{% set %}` inside a generation tag if its variable is read after the tag.

    ## Why is this bad?

    A generation tag is a scope. In Jinja2 the assignment is lost at its end, and the variable has its previous value or
    none. In engines that ignore the tag the assignment persists, so training and inference differ.
    """

    example = "{% generation %}{% set shown = true %}{{ message.content }}{% endgeneration %}{% if shown %}!{% endif %}"
    use_instead = (
        "{% set shown = true %}{% generation %}{{ message.content }}{% endgeneration %}{% if shown %}!{% endif %}"
    )
    severity = "error"
    message = "{name} is set inside a generation tag, so its value is lost when line {line} reads it after the tag"
    hint = "set it before the tag"
    explains = ("CT107", "CT314", "CT112")

    def check(self, subject: LintContext) -> Findings:
        for block in subject.generation:
            for name in assignments(block.branches[0].body):
                use = subject.tree.read_after(name.name, block.closing.start)
                if use is not None and not exclusive(block, use):
                    line, _ = subject.source.position(use.start)
                    yield self.finding(subject.word(name), name=Quoted(name.name), line=line)
