"""CT312."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


class AnswerAltered(Rule):
    """White space around an answer is cut.

    ## What it does

    Renders an answer that begins and ends with white space, and reports a template that does not keep it.

    ## Why is this bad?

    What was sampled is not what is rendered later, so the history differs from what the model wrote, and what is
    trained from what the data says.

    ## Example

    ```jinja
    {% generation %}{{ message.content | trim }}{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}{% endgeneration %}
    ```
    """

    code = "CT312"
    name = "answer-altered"
    severity = "info"
    law = "roundtrip"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        rendering = subject.probe.render("spaces")
        if rendering is None or "Answer apricot" not in rendering.text or "  Answer apricot  \n" in rendering.text:
            return
        yield self.finding(
            subject.blame(rendering, rendering.text.index("Answer apricot")),
            "white space around an answer is cut",
            "leave the text of the assistant as it is; trim the data instead",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
