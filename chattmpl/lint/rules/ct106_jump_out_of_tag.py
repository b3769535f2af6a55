from chattmpl.lint.rule import Findings, Fixes, LintContext, Rule, TemplateDiagnostic
from chattmpl.lint.tag_edits import siblings


class JumpOutOfTag(Rule):
    """A `break` or `continue` jumps out of a generation tag.

    Reports `{% break %}` and `{% continue %}` inside a generation tag if their loop is outside the tag.

    ## Why is this bad?

    transformers compiles the tag to a separate function, which has no loop. Python rejects the template with a
    SyntaxError.
    """

    example = "{% for m in messages %}{% generation %}{{ m.content }}{% break %}{% endgeneration %}{% endfor %}"
    use_instead = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    severity = "error"
    message = "{% {tag} %} jumps out of a generation tag, which transformers cannot compile"
    hint = "end the generation tag before it"

    def check(self, subject: LintContext) -> Findings:
        for block in subject.generation:
            for tag in block.jumps:
                yield self.finding(subject.place(tag), tag=tag.name)

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Move the jump, with the condition around it, after the generation tag if it is the last thing in the tag."""
        for block in subject.generation:
            last = next(siblings(block.closing, -1), None)
            if last is not None and last.start <= finding.place.start < last.end:
                yield [last.delete(), block.closing.insert_after(last.text)]
