from difflib import get_close_matches

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule, replace_word
from chattmpl.syntax.messages import message_key, message_variables
from chattmpl.syntax.nodes import Expression

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
"""The keys that exist, and others in use that resemble one of them."""


class MisspeltKey(Rule):
    """A misspelled key of a message.

    Reports keys such as `message.contents` or `message['tool_cals']` that are close to an existing one. This is a
    warning if the correct key is read as well.

    ## Why is this bad?

    Jinja does not report a missing key: it is undefined, prints as nothing and is false. The field is silently lost.
    """

    example = "{{ message.contents }}"
    use_instead = "{{ message.content }}"
    severity = "error"
    message = "messages have no key {written}"
    hint = "did you mean {intended}?"
    law = "lossless"

    def check(self, subject: LintContext) -> Findings:
        variables = message_variables(subject.tree)
        expressions = [node for node in subject.tree.everything if isinstance(node, Expression)]
        read = {message_key(node, variables): node for node in expressions}
        for name, node in read.items():
            if name is None or name in _KNOWN:
                continue
            meant = get_close_matches(name, _FIELDS, n=1, cutoff=0.8)
            if meant:
                yield self.finding(
                    subject.word(node),
                    written=Quoted(name),
                    intended=Quoted(meant[0]),
                    severity="warning" if meant[0] in read else None,
                    intended_edits=replace_word(subject, name, meant[0]),
                )
