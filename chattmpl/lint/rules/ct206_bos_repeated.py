"""CT206."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


class BosRepeated(Rule):
    """The BOS token is written more than once.

    ## What it does

    Counts the BOS token in a conversation of several turns.

    ## Why is this bad?

    A BOS token tells the model that a text begins here. In the middle of a conversation it hides, in many models, all
    that came before.

    ## Example

    ```jinja
    {% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}
    ```
    """

    code = "CT206"
    name = "bos-repeated"
    severity = "error"
    law = "single-bos"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        bos = subject.template.tokens["bos_token"]
        if not bos or bos == subject.template.tokens.get("eos_token") or bos in subject.source.text:
            return
        for name in ("turns", "system"):
            rendering = subject.probe.render(name)
            if rendering is not None and rendering.text.count(bos) > 1:
                second = rendering.text.index(bos, rendering.text.index(bos) + 1)
                yield self.finding(
                    subject.blame(rendering, second),
                    f"the BOS token {bos} is written {rendering.text.count(bos)} times in one conversation",
                    "write it once, before the loop over the messages",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return
