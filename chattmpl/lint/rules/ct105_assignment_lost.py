"""CT105."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import Quoted, TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import assignments, exclusive, read_after


class AssignmentLost(Rule):
    """A variable is set inside a generation tag and read after it.

    ## What it does

    Reports a `{% set %}` inside a generation tag if its variable is read after the tag.

    ## Why is this bad?

    A generation tag is a scope. In Jinja2 the assignment is lost at its end, and the variable has its previous value or
    none. In engines that ignore the tag the assignment persists, so training and inference differ.

    ## Example

    ```jinja
    {% generation %}{% set shown = true %}{{ message.content }}{% endgeneration %}{% if shown %}!{% endif %}
    ```

    ## Use instead

    ```jinja
    {% set shown = true %}{% generation %}{{ message.content }}{% endgeneration %}{% if shown %}!{% endif %}
    ```
    """

    code = "CT105"
    name = "assignment-lost"
    severity = "error"
    message = "{name} is set inside a generation tag, so its value is lost when line {line} reads it after the tag"
    hint = "set it before the tag"
    explains = ("CT107", "CT314", "CT112")

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        for scope in subject.nodes(nodes.Scope):
            if not getattr(scope, "generation", False):
                continue
            start = subject.offset(scope)
            block = next(
                (block for block in subject.generation if block.opening.start <= start < block.opening.end), None
            )
            if block is None:
                continue
            for name, node in assignments(scope, inner=False):
                load = read_after(subject, name, block.closing.start)
                if load is not None and not exclusive(subject, scope, load):
                    line, _ = subject.source.position(subject.offset(load))
                    yield self.finding(
                        subject.word(node, name),
                        name=Quoted(name),
                        line=line,
                    )
