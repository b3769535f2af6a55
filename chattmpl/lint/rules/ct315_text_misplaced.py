"""CT315."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.template.template import Rendering

_WORDS = {
    "turns": ("Question quince", "Answer apricot", "Follow fig", "Again almond"),
    "system": ("Behave like a badger", "Question quince", "Answer apricot", "Follow fig", "Again almond"),
    "calls": ("Question quince", "lefttusk", "Result raspberry", "Again almond"),
    "spoken": ("Plan plum", "Result raspberry", "Again almond"),
    "reasoning": ("Question quince", "Ponder papaya", "Answer apricot"),
}
"""What the texts of the messages are known by, in order."""


class TextMisplaced(Rule):
    """A message is written twice, or not where it belongs.

    ## What it does

    Reports texts of messages that stand in the rendering more than once, or in another order than in the conversation.

    It is a warning where only the text beside a tool call is written too late.

    ## Why is this bad?

    The model reads, or is trained on, a conversation that did not take place.

    ## Example

    ```jinja
    {% for m in messages | reverse %}{{ m.content }}{% endfor %}
    ```

    ## Use instead

    ```jinja
    {% for m in messages %}{{ m.content }}{% endfor %}
    ```
    """

    code = "CT315"
    name = "text-misplaced"
    severity = "error"
    explains = ("CT107", "CT109", "CT203", "CT204", "CT205", "CT209", "CT306", "CT004")
    law = "lossless"
    probes = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for name, words in _WORDS.items():
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            found = _wrong(rendering, words)
            if found is not None:
                offset, what = found
                late = name == "spoken" and "order" in what
                if late:
                    offset = rendering.text.index("Plan plum")
                    what = "the text beside a tool call is written behind the result of the tool"
                yield self.finding(
                    subject.blame(rendering, offset),
                    what,
                    "render every message once, in the order of the conversation",
                    severity="warning" if late else None,
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
                return


def _wrong(rendering: Rendering, words: tuple[str, ...]) -> tuple[int, str] | None:
    """Where a text stands that should not stand there, and what is wrong with it."""
    text, last = rendering.text, -1
    for word in words:
        offset = text.find(word)
        if offset < 0:
            continue
        again = text.find(word, offset + 1)
        if again >= 0:
            return again, f"a text is written {text.count(word)} times, the one with {word!r}"
        # System messages may be put where the last question is.
        if offset < last and not any("badger" in other for other in words):
            return offset, f"the messages are not in their order: the one with {word!r} comes too early"
        last = offset
    return None
