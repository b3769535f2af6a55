from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.lint.suppressions import directives


class BadIgnore(Rule):
    """An `ignore` comment that has no effect.

    Reports comments that begin with `chattmpl:` but are not of the form `ignore CODE reason`.

    ## Why is this bad?

    The author expects a finding to be silenced, but it is not. An ignore without a reason cannot be reviewed: later,
    no one knows whether it is still correct.
    """

    example = "{# chattmpl: ignore CT203 #}"
    use_instead = "{# chattmpl: ignore CT203 the prompt has a date, the training text is made without one #}"
    severity = "warning"
    message = {
        "unknown": "{word} is not a chattmpl directive",
        "no-code": "this comment ignores no rule: the code is missing",
        "no-reason": "ignoring {codes} needs a reason",
    }
    hint = "write {# chattmpl: ignore CT203 the reason #}"

    def check(self, subject: LintContext) -> Findings:
        """Yield a finding for each comment that cannot be interpreted."""
        for directive in directives(subject):
            if directive.valid:
                continue
            kind = "unknown" if not directive.understood else "no-reason" if directive.codes else "no-code"
            word = Quoted(directive.text.split(maxsplit=1)[0] if directive.text else "")
            yield self.finding(directive.place, kind, word=word, codes=", ".join(directive.codes))
