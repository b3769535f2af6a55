"""CT211."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_PRINTED = r"\{\{[^{}]*\bbos_token\b"


class BosNotFirst(Rule):
    """The BOS token stands behind other text, or nowhere.

    ## What it does

    Renders conversations with and without a system message, and reports a `{{ bos_token }}` with other text before it.

    It is a warning where `bos_token` is printed in the template, and no conversation gets there.

    ## Why is this bad?

    A BOS token tells the model that a text begins here. What stands before it is hidden in many models, and a text
    without it is one that the model has never seen.

    ## Example

    ```jinja
    {% for m in messages %}{% if loop.index == 0 %}{{ bos_token }}{% endif %}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}
    ```
    """

    code = "CT211"
    name = "bos-not-first"
    severity = "error"
    law = "single-bos"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        bos, printed = subject.template.tokens["bos_token"], subject.first(_PRINTED)
        own = any(name == "bos_token" for name, _ in subject.assigned)
        # Of what the template calls so by itself nobody knows whether it is one.
        if not bos or own or printed == subject.top() or bos == subject.template.tokens.get("eos_token"):
            return
        renderings = [subject.probe.render(name) for name in ("turn", "turns", "system", "calls")]
        if all(rendering is not None and bos not in rendering.text for rendering in renderings):
            yield self.finding(
                printed,
                "bos_token is printed in the template, and in no conversation",
                "write it first, whatever the conversation: {{ bos_token }}",
                severity="warning",
            )
        for rendering in renderings:
            before = "" if rendering is None else rendering.text[: max(rendering.text.find(bos), 0)]
            if rendering is not None and before.strip():
                yield self.finding(
                    subject.blame(rendering, len(before) - len(before.lstrip())),
                    f"the BOS token {bos} stands behind other text, {shown(before)}",
                    "write it first: {{ bos_token }}",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return
