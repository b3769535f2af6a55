from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.probing.frames import stop_ranges


class StopNotGenerated(Rule):
    """The stop token is not in a generated span.

    Reports assistant turns that end with a control token outside the generated span.

    Also reports a token that ends a turn after a section, such as a tool call, if only the end of the section is in
    the span.

    ## Why is this bad?

    A model that is never trained on the stop token does not learn to stop: it writes until it reaches the length limit.
    """

    example = "{% generation %}{{ message.content }}{% endgeneration %}<|im_end|>"
    use_instead = "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    severity = "error"
    message = "the stop token {token} is not in the generated span: the model does not learn to stop"
    hint = "end the generation tag after it"
    law = "stop"
    per_mode = True
    fix_spans = "grow"
    moves_tag = ("end", "later")

    def check(self, subject: LintContext) -> Findings:
        turns = [(turn, end, list(stop_ranges(turn))) for turn, (_, end) in subject.generated_turns()]
        question = subject.facts.turn_delimiters.get("a question")
        closing = set(question.tokens) if question is not None else set()
        for turn, generated_end, found in turns:
            closing |= {turn.whole.text[slice(*found[-1])]} if found and found[-1][1] <= generated_end else set()
        for turn, generated_end, found in turns:
            # After the end of a section, which is sampled, the turn has its own end.
            last = [span for span in found[-1:] if turn.whole.text[slice(*span)] in closing]
            late = [span for span in (*found[:1], *last) if span[1] > generated_end]
            if late:
                start, end = late[0]
                yield self.finding_in(subject, turn, start, token=turn.whole.text[start:end])
