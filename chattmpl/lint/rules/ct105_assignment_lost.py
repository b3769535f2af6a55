"""CT105."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import assignments, exclusive, read_after


class AssignmentLost(Rule):
    """A variable that is set inside a generation tag is read after it.

    ## What it does

    Reports a `{% set %}` inside a generation tag whose variable is read behind the tag.

    ## Why is this bad?

    A generation tag is a scope: in Jinja2 the assignment is forgotten at its end, and the variable has its old value
    or none. Other engines ignore the tag, and there the assignment stays, so training and serving differ.

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
    explains = ("CT107", "CT314", "CT112")

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
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
                        f"{name!r} is set inside a generation tag, and lost where it is read behind it, in line {line}",
                        "set it before the tag",
                    )
