from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule


class PromptGenerated(Rule):
    """Text that the prompt supplies is in a generated span.

    Compares each assistant turn with its prompt, and reports generated spans that begin before the prompt ends. They
    contain the header of the turn, or an opening tag such as `<think>` that the generation prompt supplies.

    ## Why is this bad?

    The model is trained to write its own header after the user's text, although at inference the prompt ends with it.
    It learns to begin a second turn inside its turn, and the loss is spent on text that is never sampled.
    """

    example = r"{% generation %}<|im_start|>assistant\n{{ message.content }}<|im_end|>{% endgeneration %}"
    use_instead = r"<|im_start|>assistant\n{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    severity = "error"
    message = "{text} is in the generated span, although the prompt supplies it"
    hint = "begin the generation tag after it: the text of the generation prompt is never sampled"
    law = "sampled"
    per_mode = True
    fix_spans = "shrink"
    moves_tag = ("start", "later")

    def check(self, subject: LintContext) -> Findings:
        for turn, (start, _) in subject.generated_turns():
            if start >= turn.common:
                continue
            yield self.finding_in(subject, turn, start, text=Quoted(turn.whole.text[start : turn.common]))
