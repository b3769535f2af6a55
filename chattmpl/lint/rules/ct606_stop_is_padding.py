"""CT606."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.model import model_of
from chattmpl.lint.rule import Rule
from chattmpl.lint.vocabulary import stop_token


class StopIsPadding(Rule):
    """The stop token of the template is the padding token too.

    ## What it does

    Compares the token that ends an answer with the `pad_token` of the model's config. Needs a tokenizer.

    ## Why is this bad?

    Padding gets no loss. Collators that tell it by its id, as transformers' own for language models does, take the stop
    token out of the loss wherever it stands, and the model never learns to stop.

    ## Example

    ```jinja
    {# pad_token is </s> #}
    {% generation %}{{ message.content }}</s>{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {# pad_token is <pad>, or any other token that no text has #}
    {% generation %}{{ message.content }}</s>{% endgeneration %}
    ```
    """

    code = "CT606"
    name = "stop-is-padding"
    severity = "warning"
    law = "stop"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        found = stop_token(subject)
        if found is not None and found[2] == model_of(subject).tokens.get("pad_token"):
            rendering, start, stop = found
            yield self.finding(
                subject.blame(rendering, start),
                f"{stop} ends an answer and is the padding token too, which some collators take out of the loss",
                "choose another pad_token, one that no text has",
            )
