from difflib import get_close_matches

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule, replace_word
from chattmpl.syntax.nodes import Comparison, Constant, Name

_ROLES = ("system", "user", "assistant", "tool", "developer")
_KNOWN = frozenset(_ROLES) | {"tools", "users", "System", "User", "Assistant", "Tool", "role"}


class MisspeltRole(Rule):
    """A misspelled role.

    Reports comparisons of a role with a word that is close to `system`, `user`, `assistant`, `tool` or `developer`.

    ## Why is this bad?

    The branch is never taken, so the messages of that role are dropped, or take the branch of another role.
    """

    example = "{% if message.role == 'asistant' %}{{ message.content }}{% endif %}"
    use_instead = "{% if message.role == 'assistant' %}{{ message.content }}{% endif %}"
    severity = "error"
    message = "there is no role {written}"
    hint = "did you mean {intended}?"
    law = "lossless"

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.nodes(Comparison):
            if not any("role" in (side.key, side.name if isinstance(side, Name) else None) for side in node.items):
                continue
            for constant in node.find(Constant):
                value = constant.value
                if not isinstance(value, str) or value in _KNOWN:
                    continue
                meant = get_close_matches(value, _ROLES, n=1, cutoff=0.8)
                if meant:
                    yield self.finding(
                        subject.word(constant),
                        written=Quoted(value),
                        intended=Quoted(meant[0]),
                        intended_edits=replace_word(subject, value, meant[0]),
                    )
