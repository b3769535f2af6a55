from chattmpl.lint.rule import Findings, Fixes, LintContext, Rule, TemplateDiagnostic
from chattmpl.lint.suppressions import Directive
from chattmpl.lint.tag_edits import removal


class UnusedIgnore(Rule):
    """An `ignore` comment that silences no finding.

    Reports `chattmpl: ignore` comments whose rules report nothing on their line or, for `ignore-file`, in the template.

    ## Why is this bad?

    The defect was fixed or has moved, and the comment would hide the next one.
    """

    example = "{# chattmpl: ignore CT404 the date is wanted #}\n{{ date_string }}"
    use_instead = "{{ date_string }}"
    severity = "warning"
    message = "{codes} reports nothing here, so there is nothing to ignore"
    hint = "remove the comment"

    def check(self, subject: LintContext) -> Findings:
        """Yield nothing: `unused` makes the findings, when all others are known."""
        yield from ()

    def unused(self, directive: Directive) -> TemplateDiagnostic:
        """Return the finding for a comment that silences nothing."""
        return self.finding(directive.place, codes=", ".join(directive.codes))

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Remove the comment."""
        for comment in subject.comments:
            if comment.start == finding.place.start:
                yield removal(subject.tree, comment)
