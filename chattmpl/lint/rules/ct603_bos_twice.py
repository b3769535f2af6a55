"""CT603."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.vocabulary import bos_that_is_added


class BosTwice(Rule):
    """Template and tokenizer both write the BOS token.

    ## What it does

    Reports a template that begins with the BOS token which its tokenizer puts in front of every text by itself. Needs
    a tokenizer.

    ## Why is this bad?

    `apply_chat_template` asks the tokenizer to add nothing, and all is well. Whoever renders to text first and calls
    the tokenizer on that has two BOS tokens, and a model that never saw two. It is for information, since many models
    are shipped so.

    ## Example

    ```jinja
    {{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {# encode with add_special_tokens=False #}
    {{- bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}
    ```
    """

    code = "CT603"
    name = "bos-twice"
    severity = "info"
    law = "single-bos"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        bos, rendering = bos_that_is_added(subject), subject.probe.render("turn")
        if bos is not None and rendering is not None and rendering.text.startswith(bos):
            yield self.finding(
                subject.blame(rendering, 0),
                f"the tokenizer adds {bos} by itself, and the template writes it too",
                "encode rendered text with add_special_tokens=False, as apply_chat_template does",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
