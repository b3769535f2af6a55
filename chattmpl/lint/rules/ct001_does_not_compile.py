"""CT001."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.source import Place
from chattmpl.template.resolver import Found


class DoesNotCompile(Rule):
    """The template does not compile.

    ## What it does

    Reports what is wrong with the syntax: Jinja's own errors, and generation or reasoning tags that are unclosed,
    crossed or nested in their like.

    ## Why is this bad?

    No engine can render a template that does not parse, and nothing else about it can be checked.

    ## Example

    ```jinja
    {% for message in messages %}{{ message.content }}
    ```

    ## Use instead

    ```jinja
    {% for message in messages %}{{ message.content }}{% endfor %}
    ```
    """

    code = "CT001"
    name = "does-not-compile"
    severity = "error"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Yield nothing: `broken` makes the finding, as there is no compiled template to check."""
        yield from ()

    def broken(self, found: Found, error: ChatTmplError) -> TemplateDiagnostic:
        """Return the finding for a template that raised this error when it was compiled."""
        place = error.place or Place(found.source, 0, 1)
        return self.finding(place, error.message, error.hint or "correct the syntax; no engine can use the template")
