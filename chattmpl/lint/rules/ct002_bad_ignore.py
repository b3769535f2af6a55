"""CT002."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.suppressions import directives


class BadIgnore(Rule):
    """A comment to chattmpl that silences nothing, since it lacks a code or a reason.

    ## What it does

    Looks at comments that begin with `chattmpl:` and reports those that are no `ignore CODE reason`.

    ## Why is this bad?

    The author believes that a finding is silenced, and it is not. An ignore without a reason cannot be reviewed: nobody
    knows later whether it is still right.

    ## Example

    ```jinja
    {# chattmpl: ignore CT203 #}
    ```

    ## Use instead

    ```jinja
    {# chattmpl: ignore CT203 the prompt has a date, the training text is made without one #}
    ```
    """

    code = "CT002"
    name = "bad-ignore"
    severity = "warning"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Comments that cannot be obeyed."""
        for directive in directives(subject):
            if directive.valid:
                continue
            if not directive.understood:
                what = (
                    f"{directive.text.split(maxsplit=1)[0] if directive.text else ''!r} is nothing to say to chattmpl"
                )
            elif not directive.codes:
                what = "this ignores no rule: a code is missing"
            else:
                what = f"ignoring {', '.join(directive.codes)} needs a reason"
            yield self.finding(directive.place, what, "write {# chattmpl: ignore CT203 the reason #}")
