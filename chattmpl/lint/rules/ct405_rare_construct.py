"""CT405."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule
from chattmpl.source import Place


def _constructs(subject: LintContext) -> Iterator[tuple[str, Place]]:
    """Yield the first use of each construct, as a description and its place."""
    for offset, kind, value in subject.tokens:
        if kind == "raw_begin":
            yield "{% raw %}", subject.at(offset, len(value.strip()))
            break
    for name in ("filter", "call", "with", "do", "block", "autoescape"):
        tag = next((tag for tag in subject.tags if tag.name == name), None)
        if tag is not None:
            yield f"{{% {name} %}}", subject.tag(tag)
    for filter_node in subject.nodes(nodes.Filter):
        if filter_node.name in ("e", "escape"):
            yield f"the filter {filter_node.name!r}", subject.word(filter_node, filter_node.name)
            break
    for division in subject.nodes(nodes.FloorDiv):
        yield "the operator //", subject.at(subject.offset(division), 2)
        break
    for modulo in subject.nodes(nodes.Mod):
        if isinstance(modulo.left, nodes.Const) and isinstance(modulo.left.value, str):
            yield "formatting with %", subject.at(subject.offset(modulo), 1)
            break
    for loop in subject.nodes(nodes.For):
        if loop.recursive:
            yield "a recursive loop", subject.word(loop, "recursive")
            break
    for compare in subject.nodes(nodes.Compare):
        if len(compare.ops) > 1:
            yield "a chain of comparisons (a < b < c)", subject.at(subject.offset(compare), 1)
            break
    for call in subject.nodes(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in ("dict", "cycler", "joiner"):
            yield f"the function {call.node.name}()", subject.word(call.node, call.node.name)
            break
        if isinstance(call.node, nodes.Getattr) and call.node.attr in ("cycle", "changed"):
            yield f"loop.{call.node.attr}()", subject.word(call.node, call.node.attr)
            break
    for test in subject.nodes(nodes.Test):
        if test.name == "undefined":
            yield "the test 'is undefined'", subject.word(test, "undefined")
            break


class RareConstruct(Rule):
    """A Jinja construct that some engines lack.

    ## What it does

    Reports `{% raw %}`, `{% filter %}`, `{% call %}`, `{% with %}`, `{% do %}`, `{% block %}`, the filters `e` and
    `escape`, `//`, formatting with `%`, recursive loops, chains of comparisons, `dict()`, `cycler()`, `joiner()`,
    `loop.cycle`, `loop.changed` and the test `undefined`. The first of each is reported.

    ## Why is this bad?

    @huggingface/jinja has no `raw`, `with`, `do`, `e` or `%`, llama.cpp no `//`, minijinja no formatting with `%`, and
    minja no `is undefined` (it has `is not defined`). In such an engine the template fails to parse.

    ## Example

    ```jinja
    {{ '%s says' % message.role }}
    ```

    ## Use instead

    ```jinja
    {{ message.role ~ ' says' }}
    ```
    """

    code = "CT405"
    name = "rare-construct"
    severity = "info"
    message = "not every engine supports {construct}"
    hint = "use a simpler construct, or test every engine"

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        for what, place in _constructs(subject):
            yield self.finding(place, construct=what)
