"""CT505."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class OtherTemplates(Rule):
    """The template loads another one.

    ## What it does

    Reports `{% include %}`, `{% import %}`, `{% from … import %}` and `{% extends %}`.

    ## Why is this bad?

    A chat template is one text, without a loader: the tag raises when it is reached. With a loader it would read
    files.

    ## Example

    ```jinja
    {% include 'header.jinja' %}{{ message.content }}
    ```

    ## Use instead

    ```jinja
    {% macro header() %}…{% endmacro %}{{ header() }}{{ message.content }}
    ```
    """

    code = "CT505"
    name = "other-templates"
    severity = "error"
    explains = ("CT004",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for tag in subject.tags:
            if tag.name in ("include", "import", "from", "extends"):
                yield self.finding(
                    subject.tag(tag),
                    f"{{% {tag.name} %}} loads another template, and chat templates have no loader",
                    "put the text into this template, as a macro",
                )
