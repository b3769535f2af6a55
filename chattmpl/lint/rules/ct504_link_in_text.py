"""CT504."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule

_ADDRESS = re.compile(r"(?i)\bhttps?://[^\s'\"<>\\)]*[^\s'\"<>\\).,;:]")


class LinkInText(Rule):
    """The template writes an internet address.

    ## What it does

    Reports `http://` and `https://` in the template's own text. Addresses in comments are left alone.

    ## Why is this bad?

    Whatever the template writes is in every prompt. An address there makes a model mention, or with tools visit, a
    place that neither the user nor the operator chose.

    ## Example

    ```jinja
    {{ 'See https://example.com/help for more.' }}
    ```

    ## Use instead

    ```jinja
    {{ message.content }}
    ```
    """

    code = "CT504"
    name = "link-in-text"
    severity = "info"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for offset, text in subject.data:
            match = _ADDRESS.search(text)
            if match is not None:
                yield self.finding(
                    subject.at(offset + match.start(), len(match[0])),
                    f"the template writes {match[0]} into prompts",
                    "move it into a system message, where the one who serves the model decides",
                )
