from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.syntax.nodes import Call, Filter, Name


class RandomText(Rule):
    """The template writes random text.

    Reports the filter `random` and the function `lipsum`.

    ## Why is this bad?

    The same conversation renders differently each time. A prompt is never a prefix of the training text, caches never
    hit, and nothing can be reproduced.
    """

    example = "{{ ['Hello', 'Hi'] | random }}"
    use_instead = "{{ 'Hello' }}"
    severity = "error"
    message = "{word} writes different text in each rendering"
    hint = "write a fixed text, or take it from a template kwarg"
    explains = ("CT203", "CT204")
    law = "steady"

    def check(self, subject: LintContext) -> Findings:
        for node in subject.tree.everything:
            match node:
                case Filter(name="random" as word) | Call(function=Name(name="lipsum" as word)):
                    yield self.finding(subject.word(node), word=word)
