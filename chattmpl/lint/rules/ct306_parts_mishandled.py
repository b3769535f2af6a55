"""CT306."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import shown

_PRINTED = re.compile(r"\[\{['\"]type['\"]: ['\"]text")

_WORDS = ("uince", "atsum", "prico")
"""What is left of the parts where the whole text loses a character at an end, which is another matter."""


class PartsMishandled(Rule):
    """Content in text parts is lost, or printed as Python prints a list.

    ## What it does

    Renders content given as a list of text parts, and reports a template that drops it, or prints the list itself.

    Also looks whether all parts are written, and those of answers.

    ## Why is this bad?

    OpenAI's API and many data sets give content as a list of parts. Where the template prints the list, the model
    reads and learns `[{'type': 'text', …`.

    ## Example

    ```jinja
    {{ '' ~ message.content }}
    ```

    ## Use instead

    ```jinja
    {% if message.content is string %}{{ message.content }}
    {% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}
    ```
    """

    code = "CT306"
    name = "parts-mishandled"
    severity = "warning"
    law = "lossless"
    probes = True
    loses = ("messages[].content",)

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        rendering = None if subject.probe.in_parts else subject.probe.render("parts")
        if rendering is None:
            return
        example = {"conversation": rendering.conversation.dump(), "text": rendering.text}
        hint = "join the text of the parts, or refuse lists with raise_exception"
        printed = _PRINTED.search(rendering.text)
        if printed is not None:
            yield self.finding(
                subject.blame(rendering, printed.start()),
                f"content in text parts is printed as a list, {shown(rendering.text[printed.start() :], 32)}",
                hint,
                counterexample=example,
            )
        elif any(word not in rendering.text.casefold() for word in _WORDS):
            parts = subject.first(r"\bcontent\b")
            first, second, _ = _WORDS
            text = rendering.text.casefold()
            if first in text and second not in text:
                what = "of content in several text parts all but the first is dropped"
                parts = subject.blame(rendering, text.index(first))
            elif first not in text:
                what = "content in text parts is dropped without a word"
            else:
                what = "content in text parts is dropped without a word, in answers"
            yield self.finding(
                parts,
                what,
                hint,
                counterexample=example,
            )
