from collections.abc import Iterator

from chattmpl.lint.rule import Findings, LintContext, Rule, TemplateDiagnostic
from chattmpl.syntax.lexer import normalize_newlines


class CarriageReturns(Rule):
    """Lines of the source end with a carriage return.

    Reports sources with CRLF or CR line endings.

    ## Why is this bad?

    Jinja2 converts them to LF before it parses the template. minijinja does not: each carriage return that is not
    trimmed is an extra character in the prompt, which the model never saw.
    """

    example = "{# a file saved with Windows line endings (CRLF) #}\n<|im_start|>user"
    use_instead = "{# the same file saved with Unix line endings (LF) #}\n<|im_start|>user"
    severity = "warning"
    message = "{lines} with a carriage return, which minijinja keeps as a character of the text"
    hint = "save the file with Unix line endings (LF)"

    def check(self, subject: LintContext) -> Findings:
        text = subject.found.source.text
        count = text.count("\r")
        if count:
            offset = min(len(normalize_newlines(text[: text.index("\r")])), len(subject.source.text))
            lines = f"{count} lines end" if count > 1 else "a line ends"
            yield self.finding(subject.at(offset), lines=lines)

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Iterator[str]:
        """Convert them to LF, as Jinja2 does."""
        yield normalize_newlines(subject.found.source.text)
