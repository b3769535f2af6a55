from chattmpl.lint.rule import Findings, LintContext, Rule


class NothingGenerated(Rule):
    """The template has generation tags, but nothing is in a generated span.

    Renders a question and an answer, and reports templates whose tags mark no character of the answer's turn.

    ## Why is this bad?

    The mask is all zeros: the loss is zero or NaN, and training does not change the model.
    """

    example = "{% if message.role == 'model' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}"
    use_instead = (
        "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}{% endif %}"
    )
    severity = "error"
    message = "no generation tag is reached for an answer: the training mask would be empty"
    hint = "put the tag where messages of the assistant are rendered"
    law = "sampled"
    explains = ("CT303",)
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        if not subject.generation:
            return
        for turn in subject.probe.turns("turn"):
            if turn.generated is None:
                yield self.finding(subject.place(subject.generation[0].opening), counterexample=turn.counterexample())
