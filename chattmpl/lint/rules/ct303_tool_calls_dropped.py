"""CT303."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.subject import Subject


class ToolCallsDropped(Rule):
    """Tool calls are dropped.

    ## What it does

    Renders a tool call with its result, and reports a template that does not write its arguments. It is an error where
    the template does write the tools, and so invites calls.

    ## Why is this bad?

    The turn that calls a tool becomes an empty turn, and is trained as such: the model learns to say nothing where it
    should call. The results that follow answer nothing.

    ## Example

    ```jinja
    {% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}
    {% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}
    ```
    """

    code = "CT303"
    name = "tool-calls-dropped"
    severity = "warning"
    law = "lossless"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        rendering = subject.probe.without("calls", "messages[1].tool_calls[0].function.arguments", "lefttusk")
        if rendering is None:
            return
        tools = subject.probe.render("tools")
        invited = tools is not None and "find_walrus" in tools.text
        yield self.finding(
            subject.first(r"\btool_calls\b", r"for \w+ in \w*messages"),
            "tool calls are dropped without a word: the turn is empty",
            "render message.tool_calls, or refuse them with raise_exception",
            severity="error" if invited else None,
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
