"""CT409."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import key


def _is_text(node: nodes.Node | None) -> bool:
    """Whether an expression is the text of a message, as far as its name tells."""
    if node is None:
        return False
    name = node.name if isinstance(node, nodes.Name) else key(node)
    return name in ("content", "text", "reasoning_content", "thinking", "system_message")


class TextMeasured(Rule):
    """The text of a message is sliced by an index.

    ## What it does

    Reports slices of values named `content`, `text`, `reasoning_content`, `thinking` or `system_message`. The first
    slice is reported.

    ## Why is this bad?

    Jinja2 counts characters, @huggingface/jinja UTF-16 units, and llama.cpp bytes. If an accent or an emoji precedes
    the cut, they cut at different places, possibly through a character.

    ## Example

    ```jinja
    {{ message.content[:100] }}
    ```

    ## Use instead

    ```jinja
    {{ message.content.split('</think>')[-1] }}
    ```
    """

    code = "CT409"
    name = "text-measured"
    severity = "info"
    message = "the text of a message is sliced by an index, which not every engine counts in characters"
    hint = "split at a word or a tag instead; slicing is safe only for ASCII text"

    def check(self, subject: LintContext) -> Iterator[TemplateDiagnostic]:
        """Yield the findings in one template."""
        for node in subject.nodes(nodes.Getitem):
            if isinstance(node.arg, nodes.Slice) and _is_text(node.node):
                yield self.finding(
                    subject.at(subject.offset(node)),
                )
                return
