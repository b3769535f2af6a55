from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule


class SampledNotGenerated(Rule):
    """Text that the model samples first is outside the generated span.

    Reports text between the end of the prompt and the generated span. This is a warning if it is only white space.

    ## Why is this bad?

    At inference the model has to write this text itself, but was never trained to: a think block, a channel name, or a
    space before the answer.
    """

    example = (
        r"{% if message.role == 'assistant' %}<|im_start|>assistant\n<think>\n{% generation %}…{% endgeneration %}"
        "{% endif %}\n"
        r"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    use_instead = (
        r"{% if message.role == 'assistant' %}<|im_start|>assistant\n{% generation %}<think>\n…{% endgeneration %}"
        "{% endif %}\n"
        r"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    severity = "error"
    message = "{text} is between the prompt and the generated span: it is sampled but not trained"
    hint = "begin the generation tag where the prompt ends, or let the generation prompt supply the text"
    law = "sampled"
    per_mode = True
    fix_spans = "grow"
    moves_tag = ("start", "earlier")

    def check(self, subject: LintContext) -> Findings:
        for turn, (start, _) in subject.generated_turns():
            if turn.before.text == turn.prompt.text:
                continue
            text = turn.whole.text[turn.common : start]
            if turn.is_continuation and text:
                yield self.finding_in(
                    subject, turn, turn.common, text=Quoted(text), severity=None if text.strip() else "warning"
                )
