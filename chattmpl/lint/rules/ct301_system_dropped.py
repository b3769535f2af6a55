"""CT301."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class SystemDropped(Rule):
    """A system message is dropped.

    ## What it does

    Renders a conversation that begins with a system message, and reports a template that writes nothing of it.

    Also reports templates that drop it where there are tools.

    ## Why is this bad?

    The instructions are lost without a word, in training and when serving. A template that cannot place them should
    refuse them with `raise_exception`, or put them before the first question.

    ## Example

    ```jinja
    {% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}{% if m.role in ('system', 'user') %}{{ m.content }}{% endif %}{% endfor %}
    ```
    """

    code = "CT301"
    name = "system-dropped"
    severity = "error"
    explains = ("CT304:line",)
    law = "lossless"
    probes = True
    loses = ("messages[].content",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        rendering = subject.probe.without("system", "messages[0].content", "badger")
        if rendering is None:
            yield from self._with_tools(subject)
            return
        plain = subject.probe.render("turns")
        if plain is None or "quince" not in plain.text:
            return
        yield self.finding(
            subject.first(r"for \w+ in \w*messages"),
            "a system message is dropped without a word",
            "render it, put it before the first question, or refuse it with raise_exception",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )

    def _with_tools(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Where the tools take the place of the system message."""
        rendering = subject.probe.without("system_tools", "messages[0].content", "badger")
        if rendering is not None and "quince" in rendering.text and subject.probe.render("system") is not None:
            yield self.finding(
                subject.first(r"\bif tools\b", r"\btools\b"),
                "where there are tools, a system message is dropped without a word",
                "render it beside the tools, or refuse it with raise_exception",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
