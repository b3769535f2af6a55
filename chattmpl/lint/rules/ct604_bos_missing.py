"""CT604."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.vocabulary import bos_that_is_added


class BosMissing(Rule):
    """The tokenizer adds a BOS token, and the template writes none.

    ## What it does

    Reports a template without the BOS token that its tokenizer puts in front of every text. Needs a tokenizer.

    ## Why is this bad?

    A model whose tokenizer adds a BOS was trained with one. `apply_chat_template` asks the tokenizer to add nothing,
    so that the template has to write it; without it every conversation begins in a way that the model never saw.

    ## Example

    ```jinja
    {% for message in messages %}{{ message.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}
    ```
    """

    code = "CT604"
    name = "bos-missing"
    severity = "warning"
    law = "single-bos"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        bos, rendering = bos_that_is_added(subject), subject.probe.render("turn")
        if bos is not None and rendering is not None and bos not in rendering.text:
            yield self.finding(
                subject.top(),
                f"the tokenizer begins every text with {bos}, and the template never writes it",
                "write {{ bos_token }} first: apply_chat_template lets the tokenizer add nothing",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
