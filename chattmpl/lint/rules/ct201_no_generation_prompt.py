from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.probing.frames import ASSISTANT_NAME
from chattmpl.template.special_tokens import CONTROL


class NoGenerationPrompt(Rule):
    """The template has headers but no generation prompt.

    Reports templates that never read `add_generation_prompt`, although an answer begins with a header.

    ## Why is this bad?

    At inference the prompt ends with the user's turn. The model has to write its own header, which a correct mask does
    not train, and may continue as the user instead.
    """

    example = r"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    use_instead = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content }}<|im_end|>{% endfor %}\n"
        r"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    severity = "error"
    message = "no generation prompt: the template does not read add_generation_prompt, but answers begin with {header}"
    hint = "end with {% if add_generation_prompt %}, the header of an answer, and {% endif %}"
    law = "sampled"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if "add_generation_prompt" in subject.program.variables or subject.facts.unrequested_prompt is not None:
            return
        for turn in subject.probe.turns("turn"):
            start = turn.content[0] if turn.content else 0
            header = turn.whole.text[turn.common : start]
            token = CONTROL.search(header)
            framed = token is not None and token[0] in turn.before.text
            # If the text always ends with the header, the text after it is what the model samples.
            if framed or ASSISTANT_NAME.search(header):
                yield self.finding_in(subject, turn, turn.common, header=Quoted(header))
