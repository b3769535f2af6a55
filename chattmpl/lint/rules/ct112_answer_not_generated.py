"""CT112."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import MASKED, shown


class AnswerNotGenerated(Rule):
    """Text of the assistant is rendered outside of the generated span.

    ## What it does

    Reports content, reasoning and tool calls of the assistant's last turn that are written outside of generation tags.

    Also reports an answer of an earlier turn that is generated only while it is the last one.

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
    explains = ("CT113",)
    law = "pure"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        for turn in subject.probe.turns(*MASKED):
            if turn.generated is None and turn.name == "turn":
                return
            seen: set[str] = set()
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
                field = (span.field or "").partition("[")[0]
                if field in seen:
                    continue
                seen.add(field)
                yield self.finding(
                    subject.blame(turn.whole, span.start),
                    f"{field} of the assistant is not generated, {shown(text)}",
                    "put it into the generation tag: the model samples it",
                    counterexample=turn.counterexample(),
                )
        yield from self._earlier(subject)

    def _earlier(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Where an answer is generated only as the last one, or only as one of the first."""
        rendering = subject.probe.render("turns")
        if rendering is None:
            return
        answers = [span for span in rendering.spans if span.field == "content" and span.message in (1, 3)]
        trained = {span.message for span in answers if span.generated}
        for span in answers:
            if trained and span.message not in trained:
                which = "first" if span.message == 1 else "last"
                yield self.finding(
                    subject.blame(rendering, span.start),
                    f"of two answers the {which} is not generated, {shown(rendering.text[span.start : span.end])}",
                    "put every answer into the generation tag, whatever follows it",
                    severity="warning" if which == "first" else None,
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return
