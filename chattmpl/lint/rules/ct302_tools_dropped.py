"""CT302."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule

_PARTS = {
    "the second of two tools": "count_seals",
    "the description of a tool": "Finds a walrus",
    "what a tool has as parameters": "beach",
}
"""What the model has to know of tools, and the words by which it is seen."""


class ToolsDropped(Rule):
    """Tools are dropped.

    ## What it does

    Renders a conversation with a tool, and reports a template that does not write its name.

    Also reports that the second of two tools is dropped, or that of a tool the description or the parameters are.

    ## Why is this bad?

    The model is asked without knowing its tools. Trained on such rows, it learns to call what it was never told of.

    ## Example

    ```jinja
    {% for m in messages %}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}
    ```
    """

    code = "CT302"
    name = "tools-dropped"
    severity = "warning"
    law = "lossless"
    probes = True
    loses = ("tools",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        rendering = subject.probe.without("tools", "tools[0].function.name", "find_walrus")
        if rendering is None:
            yield from self._partly(subject)
            return
        beside = subject.probe.render("system_tools")
        written = beside is not None and "find_walrus" in beside.text
        yield self.finding(
            subject.first(r"\btools\b", r"for \w+ in \w*messages"),
            "without a system message tools are dropped"
            if written
            else "tools are dropped: the template writes nothing of them",
            "render tools, or refuse them: {% if tools %}{{ raise_exception('no tools') }}{% endif %}",
            severity=None if subject.reads("tools") or subject.reads("tool_calls") else "info",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )

    def _partly(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Where one of two tools is written, or not all of a tool."""
        rendering = subject.probe.render("tools")
        if rendering is None or "find_walrus" not in rendering.text:
            return
        missing = [what for what, word in _PARTS.items() if word not in rendering.text]
        if missing:
            yield self.finding(
                subject.blame(rendering, rendering.text.index("find_walrus")),
                f"{missing[0]} is dropped: the template writes nothing of it",
                "write every tool, with its description and its parameters: {{ tool | tojson }}",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
