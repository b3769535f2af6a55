"""CT003."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.pieces import pieces, removal
from chattmpl.lint.rule import Rule
from chattmpl.lint.suppressions import Directive
from chattmpl.syntax.edits import Edit


class UnusedIgnore(Rule):
    """An ignore comment where there is nothing to ignore.

    ## What it does

    Reports `chattmpl: ignore` comments whose rules find nothing on their line (or, for `ignore-file`, in the template).

    ## Why is this bad?

    The defect was mended or has moved, and the comment would hide the next one.

    ## Example

    ```jinja
    {# chattmpl: ignore CT404 the date is wanted #}
    {{ date_string }}
    ```

    ## Use instead

    ```jinja
    {{ date_string }}
    ```
    """

    code = "CT003"
    name = "unused-ignore"
    severity = "warning"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Yield nothing: `unused` makes the findings, when all others are known."""
        yield from ()

    def unused(self, directive: Directive) -> TemplateDiagnostic:
        """Return the finding for a comment that silences nothing."""
        named = ", ".join(directive.codes)
        message = f"nothing here is found by {named}, so there is nothing to ignore"
        return self.finding(directive.place, message, "remove the comment", codes=named)

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Take the comment out."""
        given = pieces(subject)
        for index, piece in enumerate(given):
            if piece.start == finding.place.start:
                yield removal(subject.source.text, given, index)
