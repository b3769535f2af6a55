from chattmpl.errors import ChatTmplError
from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.probing.corpus import CLOCK, as_parts

_MARKERS = ("</think>", "<tool_call>", "/no_think")
_FIRST, _SECOND = "Question quince", "Follow fig"


class UserTextCut(Rule):
    """The user's text is treated as markup and cut.

    Renders a question that contains `</think>`, `<tool_call>` or `/no_think`, and reports templates in which the marker
    removes the text before or after it.

    ## Why is this bad?

    Tags are markup in the model's output. In the user's text they are ordinary words, and a user who pastes a log with
    one of them loses half of the question. It also helps to smuggle text: a filter sees text that the model does not.
    """

    example = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
    use_instead = (
        "{% for m in messages %}\n"
        "{{ m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}\n"
        "{% endfor %}"
    )
    severity = "warning"
    message = "{marker} in a question removes the text {side} it"
    hint = "search for tags only in messages of the assistant"
    law = "lossless"

    def check(self, subject: LintContext) -> Findings:
        plain = subject.probe.render("turn", 1)
        if plain is None or _FIRST not in plain.text:
            return
        for marker in _MARKERS:
            # A template cannot search for a marker that its source does not contain.
            if marker not in subject.source.text:
                continue
            conversation = {"messages": [{"role": "user", "content": f"{_FIRST}{marker}{_SECOND}"}]}
            if subject.probe.only_parts:
                conversation = as_parts(conversation)
            try:
                rendering = subject.template.render(conversation, False, CLOCK)
            except ChatTmplError:
                continue
            missing = [words for words in (_FIRST, _SECOND) if words not in rendering.text]
            if missing:
                yield self.finding(
                    subject.first(rf"['\"]{marker}['\"]", marker),
                    counterexample={"conversation": conversation, "text": rendering.text},
                    marker=Quoted(marker),
                    side="before" if missing[0] == _FIRST else "after",
                )
