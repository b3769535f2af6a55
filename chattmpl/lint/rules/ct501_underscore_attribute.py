"""CT501."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import Quoted, TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import key

_IN_FORMAT = re.compile(r"\{[^{}]*?[.\[](_\w+)")


def _text(node: nodes.Node | None) -> str | None:
    """Return the text of a constant, also of one that is concatenated from parts."""
    if isinstance(node, nodes.Const):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, nodes.Add):
        parts = [_text(node.left), _text(node.right)]
    elif isinstance(node, nodes.Concat):
        parts = [_text(part) for part in node.nodes]
    else:
        return None
    return None if None in parts else "".join(part for part in parts if part is not None)


def _reached(node: nodes.Node) -> str | None:
    name = key(node)
    if isinstance(node, nodes.Getitem) and name is None:
        name = _text(node.arg)
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr.startswith("format"):
        found = _IN_FORMAT.search(_text(node.node.node) or "")
        return found[1] if found else None
    if isinstance(node, nodes.Filter) and node.name in ("attr", "map"):
        values = [*node.args, *(option.value for option in node.kwargs)]
        name = next(filter(None, map(_text, values)), None)
    elif isinstance(node, nodes.Name):
        name = node.name if node.name.startswith("__") else None
    return name if name is not None and name.startswith("_") else None


class UnderscoreAttribute(Rule):
    """An attribute or a key that begins with an underscore.

    ## What it does

    Reports `x.__class__`, `x['__globals__']`, `x | attr('_y')`, `x['_' ~ 'y']`, `'{0._y}'.format(x)` and similar forms.

    ## Why is this bad?

    This is how templates break out of a sandbox: from any object to its class, its module, and the machine. No chat
    template needs it. Engines without a good sandbox have executed such templates from model files.

    ## Example

    ```jinja
    {{ messages.__class__.__init__ }}
    ```

    ## Use instead

    ```jinja
    {{ messages | length }}
    ```
    """

    code = "CT501"
    name = "underscore-attribute"
    severity = "error"
    message = "{name} reaches into the engine, which is how templates break out of their sandbox"
    hint = "remove it; do not serve a model with this template before you know who wrote it and why"
    explains = ("CT202", "CT004", "CT502")

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        for node in subject.nodes(nodes.Node):
            name = _reached(node)
            if name is not None:
                yield self.finding(
                    subject.word(node, name),
                    name=Quoted(name),
                )
