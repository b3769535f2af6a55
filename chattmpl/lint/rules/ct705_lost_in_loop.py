from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.syntax.items import assignments, exclusive


class LostInLoop(Rule):
    """A variable is set in a loop and read after it, where it has its previous value.

    Reports a `{% set %}` inside a `{% for %}` if the variable is also set before the loop and read after it.

    ## Why is this bad?

    A loop is a scope: assignments in it are lost at the end of each iteration. After the loop the variable has the
    value from before it.
    """

    example = "{% set found = false %}{% for m in messages %}{% set found = true %}{% endfor %}{{ found }}"
    use_instead = (
        "{% set ns = namespace(found=false) %}{% for m in messages %}{% set ns.found = true %}{% endfor %}"
        "{{ ns.found }}"
    )
    severity = "warning"
    message = "{name} is set in a loop, but has its previous value where line {line} reads it"
    hint = "keep it in a namespace: {% set ns = namespace(…) %}, {% set ns.… = … %}"
    explains = ("CT201", "CT202", "CT203", "CT211")

    def check(self, subject: LintContext) -> Findings:
        outside = list(assignments(subject.tree.body))
        for loop in subject.tree.blocks("for"):
            for name in [name for body in loop.bodies for name in assignments(body)]:
                before = any(other.name == name.name and other.start < loop.start for other in outside)
                use = subject.tree.read_after(name.name, loop.end) if before else None
                if use is not None and not exclusive(loop, use):
                    line, _ = subject.source.position(use.start)
                    yield self.finding(subject.word(name), name=Quoted(name.name), line=line)
