from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.probing.frames import ASSISTANT_NAME


class PromptStopsShort(Rule):
    """The generation prompt ends before the header of an answer is complete.

    Reports a generation prompt after which white space or a part of the header follows before the answer in the
    training text. In templates with generation tags, CT113 reports this.

    ## Why is this bad?

    At inference the model has to write the rest of the header itself. A missing line break is enough to make the first
    tokens differ from those in training.
    """

    example = r"<|assistant|>\n{{ message.content }}…{% if add_generation_prompt %}<|assistant|>{% endif %}"
    use_instead = r"<|assistant|>\n{{ message.content }}…{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    severity = "warning"
    message = "the generation prompt ends before {rest}, which precedes the answer in training"
    hint = "end the generation prompt where the header of an answer ends"
    law = "sampled"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if subject.generation or "add_generation_prompt" not in subject.program.variables:
            return
        for turn in subject.probe.turns("turn"):
            if turn.content is None or not turn.is_continuation or turn.before.text == turn.prompt.text:
                continue
            rest = turn.whole.text[len(turn.prompt.text) : turn.content[0]]
            if rest and (not rest.strip() or ASSISTANT_NAME.search(rest)):
                yield self.finding(
                    subject.blame(turn.prompt, len(turn.prompt.text) - 1),
                    counterexample=turn.counterexample(),
                    rest=Quoted(rest),
                )
