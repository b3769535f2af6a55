"""CT104."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule

_COLLECTING = frozenset({"macro", "call", "filter", "set"})


class TagNotAtRoot(Rule):
    """A generation tag stands in a macro, a call, a filter or a set block.

    ## What it does

    Reports generation tags inside `{% macro %}`, `{% call %}`, `{% filter %}` and `{% set %}…{% endset %}`.

    ## Why is this bad?

    transformers knows where it is by the length of the text that the root of the template has written so far. What a
    macro or a block collects is written later, so the mask lies on other characters: often on the header instead of on
    the answer.

    ## Example

    ```jinja
    {% macro turn(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}
    {{ turn(message) }}
    ```

    ## Use instead

    ```jinja
    {% macro body(m) %}{{ m.content }}{% endmacro %}
    {% generation %}{{ body(message) }}{% endgeneration %}
    ```
    """

    code = "CT104"
    name = "tag-not-at-root"
    severity = "error"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for block in subject.generation:
            outer = next((outer for outer in block.blocks if outer.name in _COLLECTING), None)
            if outer is not None:
                line, _ = subject.source.position(outer.start)
                yield self.finding(
                    subject.tag(block.opening),
                    f"a generation tag inside the {{% {outer.name} %}} of line {line} marks the wrong characters",
                    "move the tag to where the text is written: around the {{ … }} at the root of the template",
                )
