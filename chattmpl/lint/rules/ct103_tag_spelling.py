"""CT103."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit


class TagSpelling(Rule):
    """A generation tag is spelt in a way that engines do not recognise.

    ## What it does

    Reports generation tags with a plus sign (`{%+ generation %}`). It is an error where no tag of the template is
    spelt in a way that transformers finds.

    ## Why is this bad?

    transformers looks for the tag with a regular expression that knows `-` and spaces but no `+`. If it finds none, it
    refuses to make masks, or warns and makes empty ones. @huggingface/jinja removes the tags with such an expression
    too, and fails on the ones that are left.

    ## Example

    ```jinja
    {%+ generation %}{{ message.content }}{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}{% endgeneration %}
    ```
    """

    code = "CT103"
    name = "tag-spelling"
    severity = "warning"
    explains = ("CT113",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        found = any("+" not in (block.opening.left, block.opening.right) for block in subject.generation)
        for block in subject.generation:
            for tag in (block.opening, block.closing):
                if "+" in (tag.left, tag.right):
                    yield self.finding(
                        subject.tag(tag),
                        "engines that search the template for generation tags do not see one with a plus sign",
                        f"write {{% {tag.name} %}}; to keep a line break, put something else than a tag beside it",
                        severity="warning" if found else "error",
                    )

    def fix(self, subject: Subject, finding: TemplateDiagnostic) -> Iterator[Sequence[Edit]]:
        """Drop the plus signs; white space that they kept is written as a constant."""
        text, start, end = subject.source.text, finding.place.start, finding.place.end
        plain = re.sub(r"\+(?=%\}$)|(?<=^\{%)\+", "", text[start:end])
        yield [Edit(start, end, plain)]
        before = re.search(r"\s*$", text[:start])
        after = re.match(r"\s*", text[end:])
        space_left = before[0] if before and text[start + 2] == "+" else ""
        space_right = after[0] if after and text[end - 3] == "+" else ""
        written = [f"{{{{ {space!r} }}}}" if space else "" for space in (space_left, space_right)]
        yield [Edit(start - len(space_left), end + len(space_right), f"{written[0]}{plain}{written[1]}")]
