from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.nodes import Filter


class AttrFilter(Rule):
    """The filter `attr` is used.

    Reports the filter `attr`.

    ## Why is this bad?

    `attr` accesses an attribute by a name that may be computed, so neither a reader nor a scanner can tell which one.
    It is the usual way around checks for underscores, and message fields never need it.
    """

    example = "{{ message | attr('con' ~ 'tent') }}"
    use_instead = "{{ message.content }}"
    severity = "warning"
    message = "the filter attr accesses an attribute by a name that may be computed"
    hint = "write message.content or message['content']"
    explains = ("CT202", "CT004")

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.nodes(Filter):
            if node.name == "attr":
                yield self.finding(subject.word(node))
