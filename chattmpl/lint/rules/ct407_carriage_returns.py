"""CT407."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.syntax.lexer import normalize_newlines


class CarriageReturns(Rule):
    """Lines of the source end with a carriage return.

    ## What it does

    Reports sources with CRLF or CR line ends.

    ## Why is this bad?

    Jinja2 turns them into LF before it reads the template. minijinja does not: there each of them that is not trimmed
    is one more character in the prompt, which the model never saw.

    ## Example

    ```jinja
    {# a file saved with Windows line ends (CRLF) #}
    <|im_start|>user
    ```

    ## Use instead

    ```jinja
    {# the same file saved with Unix line ends (LF) #}
    <|im_start|>user
    ```
    """

    code = "CT407"
    name = "carriage-returns"
    severity = "warning"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        text = subject.found.source.text
        count = text.count("\r")
        if count:
            offset = min(len(normalize_newlines(text[: text.index("\r")])), len(subject.source.text))
            lines = f"{count} lines end" if count > 1 else "a line ends"
            yield self.finding(
                subject.at(offset),
                f"{lines} with a carriage return, which minijinja keeps as a character of the text",
                "save the file with Unix line ends (LF)",
            )

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[str]:
        """Fold them, as Jinja2 does."""
        yield normalize_newlines(subject.found.source.text)
