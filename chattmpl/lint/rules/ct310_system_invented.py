import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.template.special_tokens import CONTROL

_PROSE = re.compile(r"[A-Za-z][\w'’-]*(?:[,;:]? [\w'’-]+){2,}")
_WORDS = re.compile(r"[A-Z][\w'’-]*(?:[,;:]? [\w'’-]+)+[.!]")
_PERSONA = re.compile(r"(?i)\byou are\b|\byou're\b|\byou answer\b|\bact as\b|\bassistant (?:is|gives|that|made)\b")
"""Phrases typical of a system prompt."""


_HEADER = 40
"""Number of characters before a text that are searched for its header."""


def _opener(header: str) -> str:
    """Return the last control token of a header and the text after it."""
    found = list(CONTROL.finditer(header))
    return header[found[-1].start() :] if found else ""


class SystemInvented(Rule):
    """The template adds its own system prompt.

    Renders a conversation without a system message, and reports sentences before the first question that disappear if
    a system message is given.

    ## Why is this bad?

    The default becomes part of training although no one chose it, and disappears as soon as a system message is given:
    the model is then asked after a text that it was not trained on.
    """

    example = "{% if messages[0].role != 'system' %}<|system|>You are a helpful assistant made by Example.{% endif %}"
    use_instead = "{% if messages[0].role == 'system' %}<|system|>{{ messages[0].content }}{% endif %}"
    severity = "warning"
    message = "{when}, the template writes its own: {text}"
    hint = "write nothing, or put the system message into the data"
    explains = ("CT211:line",)

    def check(self, subject: LintContext) -> Findings:
        without, given = subject.probe.render("turn"), subject.probe.render("system")
        if without is None or given is None:
            return
        question = without.text.find("Question quince")
        for span in without.spans:
            text = without.text[span.start : span.end]
            sentence = _PROSE.search(text) or _WORDS.search(text)
            if span.end > question or not span.literal or sentence is None:
                continue
            always = sentence[0] in given.text
            if always and not _PERSONA.search(text):
                continue
            # The template writes another system message before the given one, with the same header.
            own = given.text.find(sentence[0])
            badger = given.text.find("Behave like a badger")
            header = given.text[max(badger - _HEADER, 0) : badger]
            second = always and 0 <= own < badger and _opener(header) in given.text[:own] and _opener(header) != ""
            when = "Even with a system message" if always else "Without a system message"
            yield self.finding_in(
                subject,
                without,
                span.start + sentence.start(),
                when=when.lower(),
                text=Quoted(sentence[0]),
                severity="info" if always and not second else None,
            )
            if not always or second:
                return
