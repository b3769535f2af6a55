"""CT001."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.context import Subject
from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule


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

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """Nothing: the runner makes the finding, where there is no subject to look at."""
        yield from ()
