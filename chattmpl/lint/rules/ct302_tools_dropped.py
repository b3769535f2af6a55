"""CT302."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


class ToolsDropped(Rule):
    """Tools are dropped.

    ## What it does

    Renders a conversation with a tool, and reports a template that does not write its name.

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

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        rendering = subject.probe.without("tools", "tools[0].function.name", "find_walrus")
        if rendering is None:
            return
        yield self.finding(
            subject.first(r"\btools\b", r"for \w+ in \w*messages"),
            "tools are dropped: the template writes nothing of them",
            "render tools, or refuse them: {% if tools %}{{ raise_exception('no tools') }}{% endif %}",
            severity=None if subject.reads("tools") or subject.reads("tool_calls") else "info",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
