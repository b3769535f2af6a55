"""CT102."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit

_COMMENTED = re.compile(r"\{#(-?)\s*\{%[-+]?\s*((?:end)?generation)\s*[-+]?%\}\s*(-?)#\}")
_TAG = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


class TagsInComment(Rule):
    """The only generation tags stand in a comment.

    ## What it does

    Reports comments that hold a generation tag, in a template without any real one.

    ## Why is this bad?

    transformers and trl search the text of the template for the tag and find it, so that they believe that masks can
    be made. The masks are all zeros, without a warning: nothing is trained.

    ## Example

    ```jinja
    {# {% generation %} #}{{ message.content }}{# {% endgeneration %} #}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}{% endgeneration %}
    ```
    """

    code = "CT102"
    name = "tags-in-comment"
    severity = "error"
    law = "sampled"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if subject.generation:
            return
        for offset, text in subject.comments:
            match = _TAG.search(text)
            if match is not None:
                start = subject.source.text.index(match[0], offset)
                yield self.finding(
                    subject.at(start, len(match[0])),
                    "the generation tags stand in a comment, where engines search for them but do not obey them",
                    "take them out of the comment, or remove them",
                )
                return

    fix_spans = "grow"

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Take the tags out of their comments, where each has one of its own."""
        edits = []
        for match in _COMMENTED.finditer(subject.source.text):
            left, name, right = match.groups()
            edits.append(Edit(match.start(), match.end(), f"{{%{left} {name} {right}%}}"))
        if edits:
            yield edits
