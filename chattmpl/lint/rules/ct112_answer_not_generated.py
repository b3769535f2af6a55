"""CT112."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import MASKED, shown
from chattmpl.lint.subject import Subject


class AnswerNotGenerated(Rule):
    """Text of the assistant is rendered outside of the generated span.

    ## What it does

    Reports content, reasoning and tool calls of the assistant's last turn that are written outside of generation tags.

    ## Why is this bad?

    What is not generated is not trained. Where tool calls stand outside, the model never learns to call a tool.

    ## Example

    ```jinja
    {% generation %}{{ message.content }}{% endgeneration %}{{ message.tool_calls | tojson }}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}{{ message.tool_calls | tojson }}{% endgeneration %}
    ```
    """

    code = "CT112"
    name = "answer-not-generated"
    severity = "error"
    law = "pure"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        for turn in subject.probe.turns(*MASKED):
            if turn.generated is None and turn.name == "turn":
                return
            for span in turn.whole.spans:
                text = turn.whole.text[span.start : span.end]
                if (
                    span.generated
                    or span.derived
                    or span.message != turn.index
                    or span.field == "role"
                    or not text.strip()
                ):
                    continue
                yield self.finding(
                    subject.blame(turn.whole, span.start),
                    f"{(span.field or '').partition('[')[0]} of the assistant is not generated, {shown(text)}",
                    "put it into the generation tag: the model samples it",
                    counterexample=turn.counterexample(),
                )
