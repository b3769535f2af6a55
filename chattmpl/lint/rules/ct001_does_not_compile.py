from chattmpl.errors import ChatTmplError
from chattmpl.lint.rule import Findings, LintContext, Rule, TemplateDiagnostic
from chattmpl.source import Place
from chattmpl.template.resolver import TemplateSource


class DoesNotCompile(Rule):
    """The template does not compile.

    Reports syntax errors: those of Jinja, and generation or reasoning tags that are not closed, overlap, or are nested
    in a tag of the same kind.

    ## Why is this bad?

    No engine can render a template that does not parse, and no other rule can check it.
    """

    example = "{% for message in messages %}{{ message.content }}"
    use_instead = "{% for message in messages %}{{ message.content }}{% endfor %}"
    severity = "error"
    message = "{problem}"
    hint = "{fix}"

    def check(self, subject: LintContext) -> Findings:
        """Yield nothing: `broken` makes the finding, as there is no compiled template to check."""
        yield from ()

    def broken(self, found: TemplateSource, error: ChatTmplError) -> TemplateDiagnostic:
        """Return the finding for a template that raised this error when it was compiled."""
        place = error.place or Place(found.source, 0, 1)
        words = {"problem": error.message, "fix": error.hint or "correct the syntax"}
        return self.finding(place, words=words)
