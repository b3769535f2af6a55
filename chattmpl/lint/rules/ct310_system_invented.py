"""CT310."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown
from chattmpl.lint.subject import Subject

_PROSE = re.compile(r"[A-Z][a-z]*(?: [A-Za-z,'-]+){2,}")


class SystemInvented(Rule):
    """A system prompt is written that nobody gave.

    ## What it does

    Renders a conversation without a system message, and reports sentences before the first question that are not there
    when a system message is given.

    ## Why is this bad?

    The default is baked into training without anyone having chosen it, and is gone as soon as somebody gives a system
    message: the model then is asked after a text that it was not trained after.

    ## Example

    ```jinja
    {% if messages[0].role != 'system' %}<|system|>You are a helpful assistant made by Example.{% endif %}
    ```

    ## Use instead

    ```jinja
    {% if messages[0].role == 'system' %}<|system|>{{ messages[0].content }}{% endif %}
    ```
    """

    code = "CT310"
    name = "system-invented"
    severity = "warning"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        without, given = subject.probe.render("turn"), subject.probe.render("system")
        if without is None or given is None:
            return
        question = without.text.find("Question quince")
        for span in without.spans:
            text = without.text[span.start : span.end]
            sentence = _PROSE.search(text)
            if span.end <= question and span.literal and sentence is not None and sentence[0] not in given.text:
                yield self.finding(
                    subject.blame(without, span.start + sentence.start()),
                    f"without a system message the template writes one of its own, {shown(sentence[0])}",
                    "write nothing, or say in the data what the system message is",
                    counterexample={"conversation": without.conversation.dump(), "text": without.text},
                )
                return
