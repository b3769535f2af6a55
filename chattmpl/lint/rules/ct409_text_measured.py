from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.nodes import Expression, Name, Slice, Subscript


def _is_text(node: Expression) -> bool:
    """Return whether an expression is the text of a message, judged by its name."""
    name = node.name if isinstance(node, Name) else node.key
    return name in ("content", "text", "reasoning_content", "thinking", "system_message")


class TextMeasured(Rule):
    """The text of a message is sliced by an index.

    Reports slices of values named `content`, `text`, `reasoning_content`, `thinking` or `system_message`. The first
    slice is reported.

    ## Why is this bad?

    Jinja2 counts characters, @huggingface/jinja UTF-16 units, and llama.cpp bytes. If an accent or an emoji precedes
    the cut, they cut at different places, possibly through a character.
    """

    example = "{{ message.content[:100] }}"
    use_instead = "{{ message.content.split('</think>')[-1] }}"
    severity = "info"
    message = "the text of a message is sliced by an index, which not every engine counts in characters"
    hint = "split at a word or a tag instead; slicing is safe only for ASCII text"

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.nodes(Subscript):
            if isinstance(node.index, Slice) and _is_text(node.value):
                yield self.finding(subject.place(node))
                return
