"""CT303."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class ToolCallsDropped(Rule):
    """Tool calls are dropped.

    ## What it does

    Renders a tool call with its result, and reports a template that does not write its arguments. It is an error where
    the template does write the tools, and so invites calls.

    Also reports calls that are written only without text beside them, and text that is written only without a
    call.

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
    per_mode = True
    loses = ("messages[].tool_calls",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        rendering = subject.probe.without("calls", "messages[1].tool_calls[0].function.arguments", "lefttusk")
        if rendering is None:
            yield from self._nameless(subject)
            yield from self._beside_text(subject)
            return
        null = subject.probe.raw("null", {1: {"content": None}})
        if null is not None and "lefttusk" in null.text:
            yield self.finding(
                subject.first(r"\btool_calls\b"),
                "tool calls are dropped where content is an empty string: they are written only where it is null",
                "ask for message.tool_calls, not for content that is none",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )
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

    def _nameless(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Where the arguments of a call are written, and not what is called."""
        rendering = subject.probe.render("calls")
        if rendering is None or "lefttusk" not in rendering.text:
            return
        if "messages[1].tool_calls[0].function.name" in rendering.lost:
            yield self.finding(
                subject.blame(rendering, rendering.text.index("lefttusk")),
                "the arguments of a tool call are written, and the name of the tool is not",
                "render call.function.name",
                severity="error",
                counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
            )

    def _beside_text(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """Where a call is written only in a message without text, or its text only without a call."""
        plain = subject.probe.render("calls")
        rendering = subject.probe.render("spoken")
        if plain is None or "lefttusk" not in plain.text or rendering is None:
            return
        call, text = "lefttusk" in rendering.text, "plum" in rendering.text.lower()
        if call and (text or "messages[1].content" not in rendering.lost):
            return
        yield self.finding(
            subject.first(r"\btool_calls\b"),
            "the text beside a tool call is dropped without a word"
            if call
            else "a tool call beside text is dropped without a word",
            "render both, or refuse one of them with raise_exception",
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
