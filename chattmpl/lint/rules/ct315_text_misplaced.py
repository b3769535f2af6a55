from chattmpl.lint.rule import Findings, LintContext, Quoted, Rendering, Rule

_WORDS = {
    "turns": ("Question quince", "Answer apricot", "Follow fig", "Again almond"),
    "system": ("Behave like a badger", "Question quince", "Answer apricot", "Follow fig", "Again almond"),
    "calls": ("Question quince", "lefttusk", "Result raspberry", "Again almond"),
    "spoken": ("Plan plum", "Result raspberry", "Again almond"),
    "reasoning": ("Question quince", "Ponder papaya", "Answer apricot"),
}
"""Words that identify the messages, in order."""


class TextMisplaced(Rule):
    """A message is written twice, or at the wrong position.

    Reports messages that occur more than once in the rendering, or in a different order than in the conversation.

    This is a warning if only the text next to a tool call is written too late.

    ## Why is this bad?

    The model reads, or is trained on, a conversation that did not take place.
    """

    example = "{% for m in messages | reverse %}{{ m.content }}{% endfor %}"
    use_instead = "{% for m in messages %}{{ m.content }}{% endfor %}"
    severity = "error"
    message = {
        "repeated": "a message is written {count} times: {text}",
        "order": "the messages are out of order: {text} is too early",
        "late": "the text next to a tool call is written after the tool result",
    }
    hint = "render every message once, in the order of the conversation"
    explains = ("CT107", "CT109", "CT203", "CT204", "CT205", "CT209", "CT306", "CT004")
    law = "lossless"

    def check(self, subject: LintContext) -> Findings:
        for name, words in _WORDS.items():
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            found = _wrong(rendering, words)
            if found is not None:
                offset, word = found
                count = rendering.text.count(word)
                late = name == "spoken" and count == 1
                if late:
                    offset = rendering.text.index("Plan plum")
                yield self.finding_in(
                    subject,
                    rendering,
                    offset,
                    "late" if late else "repeated" if count > 1 else "order",
                    text=Quoted(word),
                    count=count,
                    severity="warning" if late else None,
                )
                return


def _wrong(rendering: Rendering, words: tuple[str, ...]) -> tuple[int, str] | None:
    """Return the offset of a text that is repeated or out of order, and the text."""
    text, last = rendering.text, -1
    for word in words:
        offset = text.find(word)
        if offset < 0:
            continue
        again = text.find(word, offset + 1)
        if again >= 0:
            return again, word
        # System messages may be moved to the last question.
        if offset < last and not any("badger" in other for other in words):
            return offset, word
        last = offset
    return None
