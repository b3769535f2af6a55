"""CT309."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.lint.subject import Subject

_NONE = re.compile(r"\bNone\b")


class NonePrinted(Rule):
    """The word None is printed.

    ## What it does

    Renders tools, tool calls with and without content, and reports the word `None` where no message has it.

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
    law = "steady"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
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
