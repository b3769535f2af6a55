from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_BESIDE = (
    ("reasoning", "messages[1].reasoning_content", "Ponder papaya"),
    ("spoken", "messages[1].content", "Plan plum and pear"),
)
"""Conversations, with other text of the assistant than an answer: its path and the text."""


class AnswerAltered(Rule):
    """The text of an answer is altered.

    Renders an answer with white space around it, one with quotes and markup, and a long one, and reports templates that
    change them. This is a note if only white space changes.

    ## Why is this bad?

    The sampled text is not what is rendered later. The history differs from what the model wrote, and the training text
    from the data.
    """

    example = "{% generation %}{{ message.content | trim }}{% endgeneration %}"
    use_instead = "{% generation %}{{ message.content }}{% endgeneration %}"
    severity = "info"
    message = {
        "answer": "the text of an answer is altered: it is written as {text}",
        "other": "text of the assistant is altered: {given} is written as {text}",
        "trimmed": "white space around an answer is trimmed",
    }
    hint = {
        "answer": "write the assistant's text unchanged: {{ message.content }}",
        "other": "write the assistant's text unchanged",
        "trimmed": "write the assistant's text unchanged; trim the data instead",
    }
    law = "roundtrip"
    explains = ("CT204:line", "CT306:line")

    def check(self, subject: LintContext) -> Findings:
        marks = subject.probe.render("marks")
        given = None if marks is None else subject.probe.conversation("marks")["messages"][1]["content"]
        if marks is not None and given is not None:
            whole = given if isinstance(given, str) else given[0]["text"]
            spans = [span for span in marks.spans if span.message == 1 and span.field != "role"]
            if spans and whole not in marks.text:
                yield self.finding_in(
                    subject,
                    marks,
                    spans[0].start,
                    "answer",
                    text=Quoted(marks.text[spans[0].start : spans[-1].end]),
                    severity="warning",
                )
                return
        for name, path, words in _BESIDE:
            rendering = subject.probe.render(name)
            if rendering is None or words in rendering.text or path in rendering.lost:
                continue
            spans = [span for span in rendering.spans if span.message == 1 and span.field == path.rpartition(".")[2]]
            if spans:
                yield self.finding_in(
                    subject,
                    rendering,
                    spans[0].start,
                    "other",
                    given=Quoted(words),
                    text=Quoted(rendering.text[spans[0].start : spans[-1].end]),
                    severity="warning",
                )
                return
        rendering = subject.probe.render("spaces", 2)
        given = subject.probe.conversation("spaces")["messages"][1]["content"]
        whole = given if isinstance(given, str) else given[0]["text"]
        if rendering is None or "Answer apricot" not in rendering.text or whole in rendering.text:
            return
        yield self.finding_in(subject, rendering, rendering.text.index("Answer apricot"), "trimmed")
