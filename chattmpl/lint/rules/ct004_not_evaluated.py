"""CT004."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.context import Subject
from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule


class NotEvaluated(Rule):
    """The template raises on a conversation that it was probed with.

    ## What it does

    Rules render small conversations. Where the template raises on one, what the rules would have found there is not
    known, and this says so. It is a warning where the conversation is a mere question and answer.

    ## Why is this bad?

    Not evaluated is not the same as fine. A refusal by `raise_exception` may be meant; an undefined variable is not.

    ## Example

    ```jinja
    {% for message in messages %}{{ message.content + message.suffix }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for message in messages %}{{ message.content + (message.suffix or '') }}{% endfor %}
    ```
    """

    code = "CT004"
    name = "not-evaluated"
    severity = "info"

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """Nothing: the runner makes the findings, when the probes are done."""
        yield from ()
