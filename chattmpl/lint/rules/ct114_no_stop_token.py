"""CT114."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import PLAIN
from chattmpl.template.special_tokens import CONTROL

_INNER = re.compile(r"</(?!s>)|<\|?tool|<\|/|<｜tool")
"""What closes something inside of a turn."""

_CLOSING = re.compile(r"</(?:assistant|model|turn|message)>")
_WHAT = {"calls": "a turn with a tool call", "reasoning": "an answer with reasoning"}


class NoStopToken(Rule):
    """An answer ends without any stop token.

    ## What it does

    Reports templates with generation tags in which no control token follows the text of an answer in its turn.

    ## Why is this bad?

    There is nothing that the model could learn to stop with. If the header of the next turn is to do it, that is
    outside of the generated span and so never trained.

    ## Example

    ```jinja
    {% generation %}{{ message.content }}{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
    ```
    """

    code = "CT114"
    name = "no-stop-token"
    severity = "warning"
    explains = ("CT205",)
    law = "stop"
    probes = True
    per_mode = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        closers: set[str] = set()
        for turn in subject.probe.turns(*PLAIN):
            if turn.content is None or turn.generated is None:
                continue
            found = {token for token in CONTROL.findall(turn.tail) if not _INNER.match(token)}
            found |= set(_CLOSING.findall(turn.tail))
            if found:
                closers |= found
            # Where plain answers have none either, one finding says it.
            elif turn.name == "turn" or closers:
                yield self.finding(
                    subject.blame(turn.whole, turn.content[1] - 1),
                    f"{_WHAT.get(turn.name, 'an answer')} ends without a stop token: nothing teaches the model to stop",
                    "write {{ eos_token }}, or the family's stop token, at the end of the generated span",
                    counterexample=turn.counterexample(),
                )
                return
