from chattmpl.lint.rule import MASKED, Findings, LintContext, Quoted, Rule


class PromptNotAPrefix(Rule):
    """The prompt is not a prefix of the training text.

    Renders each prompt and the same conversation with its answer, and reports where the text does not begin with the
    prompt. This is a warning in templates without generation tags, which are not made for training.

    ## Why is this bad?

    The model is trained after one text and asked after another. The end of the prompt, such as an opening `<think>`, is
    missing in training, or the text before the answer in training is missing at inference.
    """

    example = (
        "{% if m.role == 'assistant' %}<|assistant|>{{ m.content }}{% endif %}\n"
        "{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
    )
    use_instead = (
        "{% if m.role == 'assistant' %}<|assistant|><think>{{ m.reasoning_content }}</think>{{ m.content }}"
        "{% endif %}\n"
        "{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
    )
    severity = "error"
    message = (
        "the prompt is not a prefix of the training text: it continues with {prompt}, the training text with {text}"
    )
    hint = "render the text before an answer as the generation prompt does"
    explains = ("CT204:line", "CT305:line")
    law = "sampled"
    per_mode = True
    compares = "prompt"

    def check(self, subject: LintContext) -> Findings:
        for turn in subject.probe.turns(*MASKED):
            if turn.is_continuation:
                continue
            yield self.finding(
                subject.blame(turn.prompt, turn.common),
                prompt=Quoted(turn.prompt.text[turn.common :]),
                text=Quoted(turn.whole.text[turn.common :]),
                severity=None if subject.generation else "warning",
                counterexample=turn.counterexample(),
            )
