"""CT312."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_BESIDE = (
    ("reasoning", "messages[1].reasoning_content", "Ponder papaya"),
    ("spoken", "messages[1].content", "Plan plum and pear"),
)
"""Conversations, and what the assistant says in them beside an answer."""


class AnswerAltered(Rule):
    """The text of an answer is altered.

    ## What it does

    Renders an answer with white space around it, one with quotes and markup, and a long one, and reports a template
    that does not write them as they are. For white space alone it is for information.

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
    explains = ("CT204:line", "CT306:line")
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        marks = subject.probe.render("marks")
        given = None if marks is None else subject.probe.conversation("marks")["messages"][1]["content"]
        if marks is not None and given is not None:
            whole = given if isinstance(given, str) else given[0]["text"]
            spans = [span for span in marks.spans if span.message == 1 and span.field != "role"]
            if spans and whole not in marks.text:
                yield self.finding(
                    subject.blame(marks, spans[0].start),
                    f"an answer is altered: it is written as {shown(marks.text[spans[0].start : spans[-1].end])}",
                    "write the text of the assistant as it is: {{ message.content }}",
                    severity="warning",
                    counterexample={"conversation": marks.conversation.dump(), "text": marks.text},
                )
                return
        for name, path, words in _BESIDE:
            rendering = subject.probe.render(name)
            if rendering is None or words in rendering.text or path in rendering.lost:
                continue
            spans = [span for span in rendering.spans if span.message == 1 and span.field == path.rpartition(".")[2]]
            if spans:
                yield self.finding(
                    subject.blame(rendering, spans[0].start),
                    f"text of the assistant is altered: {shown(words)} is written as "
                    f"{shown(rendering.text[spans[0].start : spans[-1].end])}",
                    "write the text of the assistant as it is",
                    severity="warning",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return
        rendering = subject.probe.render("spaces", 2)
        given = subject.probe.conversation("spaces")["messages"][1]["content"]
        whole = given if isinstance(given, str) else given[0]["text"]
        if rendering is None or "Answer apricot" not in rendering.text or whole in rendering.text:
            return
        yield self.finding(
            subject.blame(rendering, rendering.text.index("Answer apricot")),
            "white space around an answer is cut",
            "leave the text of the assistant as it is; trim the data instead",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
