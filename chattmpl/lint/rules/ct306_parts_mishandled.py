import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_PRINTED = re.compile(r"\[\{['\"]type['\"]: ['\"]text")

_WORDS = ("uince", "atsum", "prico")
"""The text of the parts without its first and last character: white space at the ends may be trimmed."""


class PartsMishandled(Rule):
    """Content in text parts is lost, or printed as a Python list.

    Renders content given as a list of text parts, and reports templates that drop it or print the list.

    Also checks that all parts are written, and the parts of answers.

    ## Why is this bad?

    OpenAI's API and many data sets give content as a list of parts. If the template prints the list, the model reads
    and learns `[{'type': 'text', …`.
    """

    example = "{{ '' ~ message.content }}"
    use_instead = (
        "{% if message.content is string %}{{ message.content }}\n"
        "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}"
    )
    severity = "warning"
    message = {
        "printed": "content in text parts is printed as a Python list: {text}",
        "all-but-first": "all but the first text part of the content are silently dropped",
        "all": "content in text parts is silently dropped",
        "answers": "content in text parts is silently dropped in answers",
    }
    hint = "join the text of the parts, or refuse lists with raise_exception"
    law = "lossless"
    loses = ("messages[].content",)

    def check(self, subject: LintContext) -> Findings:
        rendering = None if subject.probe.only_parts else subject.probe.render("parts")
        if rendering is None:
            return
        printed = _PRINTED.search(rendering.text)
        if printed is not None:
            yield self.finding_in(
                subject, rendering, printed.start(), "printed", text=Quoted(rendering.text[printed.start() :], 32)
            )
        elif any(word not in rendering.text.casefold() for word in _WORDS):
            parts = subject.first(r"\bcontent\b")
            first, second, _ = _WORDS
            text = rendering.text.casefold()
            if first in text and second not in text:
                kind = "all-but-first"
                parts = subject.blame(rendering, text.index(first))
            elif first not in text:
                kind = "all"
            else:
                kind = "answers"
            yield self.finding(parts, kind, rendering=rendering)
