"""CT114."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import CONTROL
from chattmpl.lint.subject import Subject


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
    law = "stop"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        if not subject.generation:
            return
        for turn in subject.probe.turns("turn"):
            if turn.content is not None and not CONTROL.search(turn.tail):
                yield self.finding(
                    subject.blame(turn.whole, turn.content[1] - 1),
                    "an answer ends without a stop token: nothing teaches the model to stop",
                    "write {{ eos_token }}, or the family's stop token, at the end of the generated span",
                    counterexample=turn.counterexample(),
                )
