import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule, Severity

_NONE = re.compile(r"None(?![a-z])")
_NULLS = (
    ("null", 1, "content", "a message with tool calls"),
    ("turn", 1, "reasoning_content", "an answer"),
    ("turn", 1, "tool_calls", "an answer"),
    ("calls", 2, "tool_call_id", "a tool result"),
    ("calls", 2, "name", "a tool result"),
)
"""Conversations, with the index of a message, its field that is null, and a description of the message."""


class NonePrinted(Rule):
    """The word None is printed.

    Renders tools, and tool calls with and without content, and reports the word `None` if no message contains it.

    Also renders a message with tool calls whose `content` is null, as servers send it. This is a warning: chattmpl and
    transformers 5 treat null as absent, but other engines pass it to the template.

    ## Why is this bad?

    Jinja prints a missing value as `None`. The model reads it and is trained to write it: `None` becomes its answer
    before a tool call.
    """

    example = "{{ message.content if message.content is defined else none }}"
    use_instead = "{{ message.content or '' }}"
    severity = "error"
    message = {
        "printed": "a missing value is printed as the word None, in {text}",
        "null": "if {field} of {message} is null, engines that keep nulls print the word None",
    }
    hint = {
        "printed": "print nothing if there is no value: {{ value or '' }}",
        "null": "print nothing if there is no value: {{ message.{field} or '' }}",
    }
    explains = ("CT306:line",)
    law = "steady"

    def check(self, subject: LintContext) -> Findings:
        yield from self._null(subject)
        own = any(_NONE.search(text) for text in subject.program.literals)
        for name in () if own else ("turn", "null", "calls", "tools", "system", "reasoning"):
            rendering = subject.probe.render(name)
            match = _NONE.search(rendering.text) if rendering is not None else None
            if rendering is not None and match is not None:
                yield self.finding_in(
                    subject,
                    rendering,
                    match.start(),
                    "printed",
                    text=Quoted(rendering.text[max(match.start() - 20, 0) :], 40),
                )

    def _null(self, subject: LintContext) -> Findings:
        """Yield a finding if a null field is printed; chattmpl treats null as absent, but not all engines do."""
        calls = subject.reads("tool_calls")
        everything: dict[int, dict[str, None]] = {
            1: {"content": None},
            2: dict.fromkeys(("tool_call_id", "name")),
            3: {"reasoning_content": None, "tool_calls": None},
        }
        whole = subject.probe.with_raw_fields("null", everything)
        if whole is not None and not _NONE.search(whole.text):
            return
        for name, index, field, where in _NULLS:
            rendering = subject.probe.render(name)
            if field not in subject.source.text or rendering is None:
                continue
            raw = subject.probe.with_raw_fields(name, {index: {field: None}})
            match = None if raw is None else _NONE.search(raw.text)
            if raw is not None and match is not None and not _NONE.search(rendering.text):
                severity: Severity = "warning" if field == "content" and calls else "info"
                conversation = raw.conversation.dump()
                conversation["messages"][index][field] = None
                yield self.finding(
                    subject.blame(raw, match.start()),
                    "null",
                    field=field,
                    message=where,
                    severity=severity,
                    counterexample={"conversation": conversation, "text": raw.text},
                )
                return
