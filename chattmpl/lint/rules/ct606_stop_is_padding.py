from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.probing.control_tokens import stop_token


class StopIsPadding(Rule):
    """The stop token of the template is also the padding token.

    Compares the token that ends an answer with the `pad_token` of the model's config. Needs a tokenizer.

    ## Why is this bad?

    Padding has no loss. Collators that recognize it by its id, such as the language modeling collator of transformers,
    remove every stop token from the loss, and the model never learns to stop.
    """

    example = "{# pad_token is </s> #}\n{% generation %}{{ message.content }}</s>{% endgeneration %}"
    use_instead = (
        "{# pad_token is <pad>, or any other token that occurs in no text #}\n"
        "{% generation %}{{ message.content }}</s>{% endgeneration %}"
    )
    severity = "warning"
    message = "{token} ends an answer and is also the padding token, which some collators remove from the loss"
    hint = "choose another pad_token, one that occurs in no text"
    law = "stop"
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        found = stop_token(subject.probe)
        if found is not None and found.content == subject.special_tokens.get("pad_token"):
            yield self.finding(subject.blame(found.rendering, found.start), token=found.content)
