from chattmpl.lint.rule import MASKED, Findings, LintContext, Quoted, Rule


class AnswerNotGenerated(Rule):
    """Text of the assistant is outside the generated span.

    Reports content, reasoning and tool calls of the assistant's last turn that are outside the generation tags.

    Also reports an earlier answer that is in a generated span only as long as it is the last message.

    ## Why is this bad?

    Text outside generated spans is not trained. If the tool calls are outside, the model never learns to call a tool.
    """

    example = "{% generation %}{{ message.content }}{% endgeneration %}{{ message.tool_calls | tojson }}"
    use_instead = "{% generation %}{{ message.content }}{{ message.tool_calls | tojson }}{% endgeneration %}"
    severity = "error"
    message = {
        "field": "the assistant's {field} is outside the generated span: {text}",
        "answer": "the {which} of two answers is outside the generated span: {text}",
    }
    hint = {
        "field": "put it inside the generation tag: the model samples it",
        "answer": "put every answer inside the generation tag, whatever follows it",
    }
    explains = ("CT113",)
    law = "pure"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if not subject.generation:
            return
        for turn in subject.probe.turns(*MASKED):
            if turn.generated is None and turn.name == "turn":
                return
            seen: set[str] = set()
            for span in turn.whole.spans:
                text = turn.whole.text[span.start : span.end]
                if (
                    span.generated
                    or span.derived
                    or span.message != turn.index
                    or span.field == "role"
                    or not text.strip()
                ):
                    continue
                field = (span.field or "").partition("[")[0]
                if field in seen:
                    continue
                seen.add(field)
                yield self.finding_in(subject, turn, span.start, "field", field=field, text=Quoted(text))
        yield from self._earlier(subject)

    def _earlier(self, subject: LintContext) -> Findings:
        """Yield a finding if only the last answer, or only earlier ones, are in a generated span."""
        rendering = subject.probe.render("turns")
        if rendering is None:
            return
        answers = [span for span in rendering.spans if span.field == "content" and span.message in (1, 3)]
        trained = {span.message for span in answers if span.generated}
        for span in answers:
            if trained and span.message not in trained:
                which = "first" if span.message == 1 else "last"
                yield self.finding_in(
                    subject,
                    rendering,
                    span.start,
                    "answer",
                    severity="warning" if which == "first" else None,
                    which=which,
                    text=Quoted(rendering.text[span.start : span.end]),
                )
                return
