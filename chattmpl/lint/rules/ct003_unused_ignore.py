"""CT003."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattmpl.lint.context import Subject
from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.pieces import pieces, removal
from chattmpl.lint.rule import Rule
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

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """Nothing: the runner makes the findings, when all others are known."""
        yield from ()

    def fix(self, subject: Subject, finding: Diagnostic) -> Iterator[Sequence[Edit]]:
        """Take the comment out."""
        given = pieces(subject)
        for index, piece in enumerate(given):
            if piece.start == finding.place.start:
                yield removal(subject.source.text, given, index)
