from chattmpl.lint.rule import Findings, LintContext, Rule


class ReasoningDropped(Rule):
    """Reasoning is dropped even from the last answer.

    Renders an answer with reasoning, and reports templates that do not write it. This is a note if the template does
    not mention reasoning.

    ## Why is this bad?

    Reasoning in the data is silently lost: the model is trained to answer immediately, although at inference its prompt
    may ask it to think.
    """

    example = "{{ message.content.split('</think>')[-1] }}"
    use_instead = (
        "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
        "{{ message.content }}"
    )
    severity = "warning"
    message = "reasoning is silently dropped, even from the last answer"
    hint = "render message.reasoning_content, or train without reasoning and with a prompt that does not ask for it"
    law = "lossless"
    loses = ("messages[].reasoning_content",)

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.losing("reasoning", "messages[1].reasoning_content", "papaya")
        if rendering is None:
            return
        if "apricot" not in rendering.text:
            return
        concerned = subject.template.retention != "none" and subject.reads("reasoning_content") | (
            "think" in subject.source.text
        )
        yield self.finding(
            subject.first(r"reasoning_content", r"think", r"for \w+ in \w*messages"),
            severity=None if concerned else "info",
            rendering=rendering,
        )
