"""CT107."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class NothingGenerated(Rule):
    """The template has generation tags, and nothing is generated.

    ## What it does

    Renders a question and an answer, and reports a template whose tags mark no character of the answer's turn.

    ## Why is this bad?

    The mask is all zeros: the loss is nothing, or not a number, and no step of training changes the model.

    ## Example

    ```jinja
    {% if message.role == 'model' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}
    ```

    ## Use instead

    ```jinja
    {% if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}
    ```
    """

    code = "CT107"
    name = "nothing-generated"
    severity = "error"
    law = "sampled"
    explains = ("CT303",)
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        for turn in subject.probe.turns("turn"):
            if turn.generated is None:
                yield self.finding(
                    subject.tag(subject.generation[0].opening),
                    "no generation tag is reached by an answer: nothing of it would be trained on",
                    "put the tag where messages of the assistant are rendered",
                    counterexample=turn.counterexample(),
                )
