"""CT316."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.lint.subject import Subject


class QuestionAltered(Rule):
    r"""The text of a question is not written as it was asked.

    ## What it does

    Reports templates that cut, escape or encode what a user writes. White space around it does not count.

    ## Why is this bad?

    The model reads something else than was asked: the end of a long question is missing, `<b>` has become `&lt;b&gt;`,
    or the text stands in quotes with `\n` in the place of line breaks. Code and markup suffer most.

    ## Example

    ```jinja
    {{ '<|im_start|>user\n' + message.content[:4000] + '<|im_end|>\n' }}
    ```

    ## Use instead

    ```jinja
    {{ '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
    ```
    """

    code = "CT316"
    name = "question-altered"
    severity = "warning"
    explains = ("CT306:line",)
    law = "lossless"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        rendering = subject.probe.render("marks", 1)
        plain = subject.probe.render("turn", 1)
        if rendering is None or plain is None or "Question quince" not in plain.text:
            return
        given = subject.probe.conversation("marks")["messages"][0]["content"]
        whole = given if isinstance(given, str) else given[0]["text"]
        spans = [span for span in rendering.spans if span.message == 0 and span.field != "role"]
        if spans and whole not in rendering.text:
            written = rendering.text[spans[0].start : spans[-1].end]
            how = (
                f"cut after {len(written)} characters" if whole.startswith(written) else f"written as {shown(written)}"
            )
            yield self.finding(
                subject.blame(rendering, spans[0].start),
                f"the text of a question is altered: it is {how}",
                "write the text of the user as it is: {{ message.content }}",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
