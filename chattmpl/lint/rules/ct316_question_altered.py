from chattmpl.lint.rule import Findings, LintContext, Quoted, Rendering, Rule, TemplateDiagnostic

_PLAIN = (
    ("turn", 0, "a question", "Question quince", "the user"),
    ("system", 0, "a system message", "Behave like a badger", "a message"),
    ("system_tools", 0, "a system message with tools", "Behave like a badger", "a message"),
    ("calls", 2, "a tool result", "Result raspberry", "a message"),
)
"""Conversations, with the index of a message, its description, its text, and its owner."""


class QuestionAltered(Rule):
    r"""The text of a question is changed.

    Reports templates that cut, escape or encode the user's text. White space around it is ignored.

    Also reports system messages and tool results whose plain words are cut or changed.

    ## Why is this bad?

    The model does not read what was asked: the end of a long question is missing, `<b>` has become `&lt;b&gt;`, or the
    text is quoted, with `\n` instead of line breaks. Code and markup suffer most.
    """

    example = r"{{ '<|im_start|>user\n' + message.content[:4000] + '<|im_end|>\n' }}"
    use_instead = r"{{ '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}"
    severity = "warning"
    message = {
        "cut": "the text of {message} is altered: it is cut after {length} characters",
        "other": "the text of {message} is altered: it is written as {text}",
    }
    hint = "write the text of {owner} unchanged: {{ message.content }}"
    explains = ("CT306:line",)
    law = "lossless"

    def check(self, subject: LintContext) -> Findings:
        given = subject.probe.conversation("marks")["messages"][0]["content"]
        whole = given if isinstance(given, str) else given[0]["text"]
        rendering = subject.probe.render("marks")
        found = None if rendering is None else self._altered(subject, rendering, 0, whole, _PLAIN[0])
        for case in () if found is not None else _PLAIN:
            name, index, _, words, _ = case
            rendering = subject.probe.render(name)
            found = None if rendering is None else self._altered(subject, rendering, index, words, case)
            if found is not None:
                break
        if found is not None:
            yield found

    def _altered(
        self, subject: LintContext, rendering: Rendering, index: int, whole: str, case: tuple[str, int, str, str, str]
    ) -> TemplateDiagnostic | None:
        """Return a finding if a text is written, but not as a whole."""
        spans = [s for s in rendering.spans if s.message == index and (s.field or "").startswith("content")]
        if not spans or whole in rendering.text:
            return None
        written = rendering.text[spans[0].start : spans[-1].end]
        cut = whole.startswith(written)
        return self.finding_in(
            subject,
            rendering,
            spans[0].start,
            "cut" if cut else "other",
            message=case[2],
            text=Quoted(written),
            length=len(written) if cut else None,
            owner=case[4],
        )
