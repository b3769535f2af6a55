"""CT207."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.frames import ROLE, always_prompted
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown


class AlwaysPrompted(Rule):
    r"""The generation prompt is written whether it is asked for or not.

    ## What it does

    Renders a question and its answer without `add_generation_prompt`, and reports a text that ends with the header of
    one more answer.

    ## Why is this bad?

    Every training row ends with an answer that was opened and not given. The text of a conversation is no longer a
    prefix of the same conversation with one more message.

    ## Example

    ```jinja
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}<|im_start|>assistant\n
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}
    ```
    """

    code = "CT207"
    name = "always-prompted"
    severity = "error"
    explains = ("CT113", "CT204")
    law = "prefix"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        question, prompted = subject.probe.render("turn", 1), subject.probe.render("turn", 1, prompt=True)
        if question is not None and prompted is not None and question.text.startswith(prompted.text):
            header = question.text[len(prompted.text) :]
            if ROLE.search(header):
                yield self.finding(
                    subject.blame(question, len(prompted.text)),
                    f"the generation prompt {shown(header)} is written where it is not asked for, and else not",
                    "write it only {% if add_generation_prompt %}",
                    counterexample={"conversation": question.conversation.dump(), "text": question.text},
                )
                return
            behind = [span.end for span in question.spans if span.message == 0 and span.field != "role"]
            tail = question.text[behind[-1] :] if behind else ""
            if not header and ROLE.search(tail) and "add_generation_prompt" not in subject.variables:
                yield self.finding(
                    subject.blame(question, len(question.text) - 1),
                    f"the header of an answer, {shown(tail)}, is written behind each question, asked for or not",
                    "write it only {% if add_generation_prompt %}",
                    severity="info",
                    counterexample={"conversation": question.conversation.dump(), "text": question.text},
                )
        start = always_prompted(subject)
        rendering = subject.probe.render("turn")
        if start is not None and rendering is not None:
            yield self.finding(
                subject.blame(rendering, start),
                f"the generation prompt {shown(rendering.text[start:])} is written without being asked for",
                "write it only {% if add_generation_prompt %}",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
