from chattmpl.lint.rule import Findings, LintContext, Rule


class ToolCallsDropped(Rule):
    """Tool calls are dropped.

    Renders a tool call with its result, and reports templates that do not write its arguments. This is an error if the
    template writes the tools, and so invites calls.

    Also reports calls that are written only without text next to them, and text that is written only without a call.

    ## Why is this bad?

    The turn that calls a tool becomes an empty turn and is trained as such: the model learns to say nothing where it
    should call a tool. The results that follow answer nothing.
    """

    example = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"
    use_instead = (
        "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}\n"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
    )
    severity = "warning"
    message = {
        "empty-content": "tool calls are silently dropped unless content is null: an empty string is not enough",
        "all": "tool calls are silently dropped: the turn is empty",
        "nameless": "the arguments of a tool call are written, but not the name of the tool",
        "text": "the text next to a tool call is silently dropped",
        "with-text": "a tool call next to text is silently dropped",
    }
    hint = {
        "empty-content": "test message.tool_calls, not whether content is none",
        "all": "render message.tool_calls, or refuse them with raise_exception",
        "nameless": "render call.function.name",
        "text": "render both, or refuse one of them with raise_exception",
        "with-text": "render both, or refuse one of them with raise_exception",
    }
    law = "lossless"
    per_mode = True
    loses = ("messages[].tool_calls",)

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.losing("calls", "messages[1].tool_calls[0].function.arguments", "lefttusk")
        if rendering is None:
            yield from self._nameless(subject)
            yield from self._beside_text(subject)
            return
        null = subject.probe.with_raw_fields("null", {1: {"content": None}})
        if null is not None and "lefttusk" in null.text:
            yield self.finding(subject.first(r"\btool_calls\b"), "empty-content", rendering=rendering)
            return
        tools = subject.probe.render("tools")
        invited = tools is not None and "find_walrus" in tools.text
        yield self.finding(
            subject.first(r"\btool_calls\b", r"for \w+ in \w*messages"),
            "all",
            severity="error" if invited else None,
            rendering=rendering,
        )

    def _nameless(self, subject: LintContext) -> Findings:
        """Yield a finding if the arguments of a call are written, but not its name."""
        rendering = subject.probe.render("calls")
        if rendering is None or "lefttusk" not in rendering.text:
            return
        if "messages[1].tool_calls[0].function.name" in rendering.lost:
            yield self.finding_in(subject, rendering, rendering.text.index("lefttusk"), "nameless", severity="error")

    def _beside_text(self, subject: LintContext) -> Findings:
        """Yield a finding if a call is written only in a message without text, or its text only without a call."""
        plain = subject.probe.render("calls")
        rendering = subject.probe.render("spoken")
        if plain is None or "lefttusk" not in plain.text or rendering is None:
            return
        call, text = "lefttusk" in rendering.text, "plum" in rendering.text.lower()
        if call and (text or "messages[1].content" not in rendering.lost):
            return
        yield self.finding(subject.first(r"\btool_calls\b"), "text" if call else "with-text", rendering=rendering)
