"""CT409."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.tree import key


def _is_text(node: nodes.Node | None) -> bool:
    """Whether an expression is the text of a message, as far as its name tells."""
    if node is None:
        return False
    name = node.name if isinstance(node, nodes.Name) else key(node)
    return name in ("content", "text", "reasoning_content", "thinking", "system_message")


class TextMeasured(Rule):
    """The text of a message is cut at an index.

    ## What it does

    Reports slices of what is called `content`, `text`, `reasoning_content`, `thinking` or `system_message`. The first
    is reported.

    ## Why is this bad?

    Jinja2 counts characters, @huggingface/jinja UTF-16 units and llama.cpp bytes. With an accent or an emoji before
    the cut they cut at different places, and may cut through a character.

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

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for node in subject.nodes(nodes.Getitem):
            if isinstance(node.arg, nodes.Slice) and _is_text(node.node):
                yield self.finding(
                    subject.at(subject.offset(node)),
                    "the text of a message is cut at an index, which not every engine counts in characters",
                    "split at a word or a tag instead; if the text has letters without accents only, all is well",
                )
                return
