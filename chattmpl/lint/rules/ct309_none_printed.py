"""CT309."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import Severity, TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_NONE = re.compile(r"None(?![a-z])")
_NULLS = (
    ("null", 1, "content", "a message with tool calls"),
    ("turn", 1, "reasoning_content", "an answer"),
    ("turn", 1, "tool_calls", "an answer"),
    ("calls", 2, "tool_call_id", "the result of a tool"),
    ("calls", 2, "name", "the result of a tool"),
)
"""Conversations, with the index of a message in them, the field of it that is null, and what the message is."""


class NonePrinted(Rule):
    """The word None is printed.

    ## What it does

    Renders tools, tool calls with and without content, and reports the word `None` where no message has it.

    Renders a message with tool calls whose `content` is null, too, as servers send it. That is a warning: chattmpl and
    transformers 5 take null for absent, and other engines hand it to the template.

    ## Why is this bad?

    Jinja prints a missing value as `None`. The model reads it and is trained to write it: `None` becomes its answer
    before a tool call.

    ## Example

    ```jinja
    {{ message.content if message.content is defined else none }}
    ```

    ## Use instead

    ```jinja
    {{ message.content or '' }}
    ```
    """

    code = "CT309"
    name = "none-printed"
    severity = "error"
    explains = ("CT306:line",)
    law = "steady"
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        yield from self._null(subject)
        own = any(_NONE.search(text) for text in subject.literals)
        for name in () if own else ("turn", "null", "calls", "tools", "system", "reasoning"):
            rendering = subject.probe.render(name)
            match = _NONE.search(rendering.text) if rendering is not None else None
            if rendering is not None and match is not None:
                yield self.finding(
                    subject.blame(rendering, match.start()),
                    "a missing value is printed as the word None, in "
                    f"{shown(rendering.text[max(match.start() - 20, 0) :], 40)}",
                    "print nothing where there is no value: {{ value or '' }}",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )

    def _null(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """What is printed where a field is null, which chattmpl takes for absent and other engines do not."""
        calls = subject.reads("tool_calls")
        everything: dict[int, dict[str, None]] = {
            1: {"content": None},
            2: dict.fromkeys(("tool_call_id", "name")),
            3: {"reasoning_content": None, "tool_calls": None},
        }
        whole = subject.probe.raw("null", everything)
        if whole is not None and not _NONE.search(whole.text):
            return
        for name, index, field, where in _NULLS:
            rendering = subject.probe.render(name)
            if field not in subject.source.text or rendering is None:
                continue
            raw = subject.probe.raw(name, {index: {field: None}})
            match = None if raw is None else _NONE.search(raw.text)
            if raw is not None and match is not None and not _NONE.search(rendering.text):
                severity: Severity = "warning" if field == "content" and calls else "info"
                conversation = raw.conversation.dump()
                conversation["messages"][index][field] = None
                yield self.finding(
                    subject.blame(raw, match.start()),
                    f"where {field} of {where} is null, engines that keep nulls print the word None",
                    f"print nothing where there is no value: {{{{ message.{field} or '' }}}}",
                    severity=severity,
                    counterexample={"conversation": conversation, "text": raw.text},
                )
                return
