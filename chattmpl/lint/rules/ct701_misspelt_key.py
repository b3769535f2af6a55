"""CT701."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from jinja2 import nodes

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule, replace_word
from chattmpl.lint.tree import message_variables, of_message

_FIELDS = ("role", "content", "reasoning_content", "reasoning", "thinking", "tool_calls", "tool_call_id", "name")
_KNOWN = frozenset(_FIELDS) | {
    "thinking_content",
    "reasoning_text",
    "tool_call",
    "tool_name",
    "tool_result",
    "tool_results",
    "tool_responses",
    "tool_plan",
    "names",
    "thoughts",
    "thought",
    "think",
    "text",
    "type",
    "reason",
}
"""Those that exist, and those that some data has though they resemble one of them."""


class MisspeltKey(Rule):
    """A key of a message that is nearly, but not quite, one that exists.

    ## What it does

    Reports `message.contents`, `message['tool_cals']` and the like. It is a warning where the right key is read as
    well.

    ## Why is this bad?

    Jinja does not complain about a key that is not there: it is undefined, which prints as nothing and is false. The
    field is lost without a word.

    ## Example

    ```jinja
    {{ message.contents }}
    ```

    ## Use instead

    ```jinja
    {{ message.content }}
    ```
    """

    code = "CT701"
    name = "misspelt-key"
    severity = "error"
    law = "lossless"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        variables = message_variables(subject)
        read = {of_message(node, variables): node for node in subject.nodes(nodes.Expr)}
        for name, node in read.items():
            if name is None or name in _KNOWN:
                continue
            meant = get_close_matches(name, _FIELDS, n=1, cutoff=0.8)
            if meant:
                yield self.finding(
                    subject.word(node, name),
                    f"messages have no key {name!r}",
                    f"did you mean {meant[0]!r}?",
                    severity="warning" if meant[0] in read else None,
                    intended_edits=replace_word(subject, name, meant[0]),
                )
