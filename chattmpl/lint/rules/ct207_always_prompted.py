from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.probing.frames import ASSISTANT_NAME


class AlwaysPrompted(Rule):
    """The generation prompt is written even if it is not requested.

    Renders a question and its answer without `add_generation_prompt`, and reports texts that end with the header of
    another answer.

    ## Why is this bad?

    Every training row ends with an empty answer that was opened. The text of a conversation is no longer a prefix of
    the same conversation with one more message.
    """

    example = (
        r"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}<|im_start|>assistant\n"
    )
    use_instead = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content }}<|im_end|>{% endfor %}\n"
        r"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    severity = "error"
    message = {
        "inverted": "the generation prompt {header} is written only if it is not requested",
        "header-after-question": "the header of an answer, {header}, is written after each question, requested or not",
        "always": "the generation prompt {header} is written without being requested",
    }
    hint = "write it only inside {% if add_generation_prompt %}"
    explains = ("CT113", "CT204")
    law = "prefix"
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        question, prompted = subject.probe.render("turn", 1), subject.probe.render("turn", 1, prompt=True)
        if question is not None and prompted is not None and question.text.startswith(prompted.text):
            header = question.text[len(prompted.text) :]
            if ASSISTANT_NAME.search(header):
                yield self.finding_in(subject, question, len(prompted.text), "inverted", header=Quoted(header))
                return
            behind = [span.end for span in question.spans if span.message == 0 and span.field != "role"]
            tail = question.text[behind[-1] :] if behind else ""
            if not header and ASSISTANT_NAME.search(tail) and "add_generation_prompt" not in subject.program.variables:
                yield self.finding_in(
                    subject,
                    question,
                    len(question.text) - 1,
                    "header-after-question",
                    header=Quoted(tail),
                    severity="info",
                )
        start = subject.facts.unrequested_prompt
        rendering = subject.probe.render("turn")
        if start is not None and rendering is not None:
            yield self.finding_in(subject, rendering, start, "always", header=Quoted(rendering.text[start:]))
