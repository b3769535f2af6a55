"""CT316."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.template.template import Rendering

_PLAIN = (
    ("turn", 0, "a question", "Question quince", "the user"),
    ("system", 0, "a system message", "Behave like a badger", "a message"),
    ("system_tools", 0, "a system message beside tools", "Behave like a badger", "a message"),
    ("calls", 2, "the result of a tool", "Result raspberry", "a message"),
)
"""Conversations, with the index of a message in them, what it is, its text, and whose it is."""


class QuestionAltered(Rule):
    r"""The text of a question is not written as it was asked.

    ## What it does

    Reports templates that cut, escape or encode what a user writes. White space around it does not count.

    Also reports system messages and results of tools of which some plain words are cut or changed.

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

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        given = subject.probe.conversation("marks")["messages"][0]["content"]
        whole = given if isinstance(given, str) else given[0]["text"]
        rendering = subject.probe.render("marks")
        found = None if rendering is None else self._altered(subject, rendering, 0, whole, _PLAIN[0])
        for case in () if found is not None else _PLAIN:
            name, index, _, words, _ = case
            rendering = subject.probe.render(name)
            found = None if rendering is None else self._altered(subject, rendering, index, words, case)
            if found is not None:
                break
        if found is not None:
            yield found

    def _altered(
        self, subject: Subject, rendering: Rendering, index: int, whole: str, case: tuple[str, int, str, str, str]
    ) -> TemplateDiagnostic | None:
        """The finding that a text is not written as a whole; None where it is, or where nothing of it is."""
        spans = [s for s in rendering.spans if s.message == index and (s.field or "").startswith("content")]
        if not spans or whole in rendering.text:
            return None
        written = rendering.text[spans[0].start : spans[-1].end]
        how = f"cut after {len(written)} characters" if whole.startswith(written) else f"written as {shown(written)}"
        return self.finding(
            subject.blame(rendering, spans[0].start),
            f"the text of {case[2]} is altered: it is {how}",
            f"write the text of {case[4]} as it is: {{{{ message.content }}}}",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
