from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.probing.frames import ASSISTANT_NAME


class GenerationPromptIsNothing(Rule):
    """The generation prompt adds nothing.

    Reports templates that read `add_generation_prompt` but write the same text with and without it, although an answer
    begins with a header.

    Also checks the prompt after a tool result.

    ## Why is this bad?

    At inference the prompt ends with the user's turn, and the model has to write a header that it was not trained to
    write.
    """

    example = r"{% if add_generation_prompt and messages[-1].role == 'assistant' %}<|im_start|>assistant\n{% endif %}"
    use_instead = r"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    severity = "error"
    message = "add_generation_prompt adds nothing after {last}, although answers begin with {header}"
    hint = "write the header if add_generation_prompt is true and the last message is not the assistant's"
    law = "sampled"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if "add_generation_prompt" not in subject.program.variables:
            return
        for turn in subject.probe.turns("turn", "calls"):
            start = turn.content[0] if turn.content else 0
            header = turn.whole.text[turn.common : start]
            if turn.name == "calls" and not ASSISTANT_NAME.search(header):
                # Templates that write a result into the assistant's turn need no header after it.
                continue
            if turn.before.text == turn.prompt.text and header.strip():
                last = "a question" if turn.index == 1 else "a tool result"
                yield self.finding(
                    subject.first(r"add_generation_prompt"),
                    counterexample=turn.counterexample(),
                    last=last,
                    header=Quoted(header),
                )
                return
