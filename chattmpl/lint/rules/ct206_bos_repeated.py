"""CT206."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule

_LITERAL = (
    "<|begin_of_text|>",
    "<s>",
    "<BOS_TOKEN>",
    "<bos>",
    "<|startoftext|>",
    "<｜begin▁of▁sentence｜>",
    "<|begin▁of▁sentence|>",
)
"""BOS tokens of well-known vocabularies."""

_ANY = re.compile("|".join(map(re.escape, _LITERAL)))


class BosRepeated(Rule):
    """The BOS token is written more than once.

    ## What it does

    Counts the BOS token in a conversation of several turns.

    Also reports `{{ bos_token }}` beside the token itself.

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
    explains = ("CT203", "CT205", "CT211")
    law = "single-bos"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        bos = subject.template.tokens["bos_token"]
        if not bos or bos == subject.template.tokens.get("eos_token"):
            return
        if bos in subject.source.text or any(token in subject.source.text for token in _LITERAL):
            yield from self._literal(subject, bos)
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

    def _literal(self, subject: Subject, bos: str) -> Iterator[TemplateDiagnostic]:
        """Where the template writes the token itself: beside the variable, or in front of more than one turn."""
        rendering = subject.probe.render("turns")
        written = list(_ANY.finditer(rendering.text)) if rendering else []
        start = rendering.text.find(bos) if rendering else -1
        beside = [token for token in _LITERAL if rendering and rendering.text.startswith(token, start + len(bos))]
        before = [token for token in _LITERAL if rendering and 0 < start == rendering.text.find(token) + len(token)]
        token = (beside or before or [""])[0]
        if rendering is not None and start >= 0 and token and token != bos:
            yield self.finding(
                subject.blame(rendering, start + len(bos) if beside else start),
                f"the text begins with two BOS tokens, {token} and that of bos_token",
                "write {{ bos_token }} alone",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
        elif rendering is not None and len({match[0] for match in written}) == 1 and len(written) > 1:
            yield self.finding(
                subject.blame(rendering, written[1].start()),
                f"the BOS token {written[1][0]} is written {len(written)} times in one conversation",
                "write it once, before the loop over the messages",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
