"""CT705."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import Quoted, TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import assignments, exclusive, last_offset, read_after


class LostInLoop(Rule):
    """A variable is set in a loop and read after it, where it has its previous value.

    ## What it does

    Reports a `{% set %}` inside a `{% for %}` if the variable is also set before the loop and read after it.

    ## Why is this bad?

    A loop is a scope: assignments in it are lost at the end of each iteration. After the loop the variable has the
    value from before it.

    ## Example

    ```jinja
    {% set found = false %}{% for m in messages %}{% set found = true %}{% endfor %}{{ found }}
    ```

    ## Use instead

    ```jinja
    {% set ns = namespace(found=false) %}{% for m in messages %}{% set ns.found = true %}{% endfor %}{{ ns.found }}
    ```
    """

    code = "CT705"
    name = "lost-in-loop"
    severity = "warning"
    message = "{name} is set in a loop, but has its previous value where line {line} reads it"
    hint = "keep it in a namespace: {% set ns = namespace(…) %}, {% set ns.… = … %}"
    explains = ("CT201", "CT202", "CT203", "CT211")

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        outside = [(name, subject.offset(setting)) for name, setting in assignments(subject.tree, inner=False)]
        for loop in subject.nodes(nodes.For):
            start = subject.offset(loop)
            for name, node in assignments(loop, inner=False):
                before = any(other == name and offset < start for other, offset in outside)
                load = read_after(subject, name, last_offset(subject, loop)) if before else None
                if load is not None and not exclusive(subject, loop, load):
                    line, _ = subject.source.position(subject.offset(load))
                    yield self.finding(
                        subject.word(node, name),
                        name=Quoted(name),
                        line=line,
                    )
