from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.lint.vocabulary import bos_that_is_added


class BosMissing(Rule):
    """The tokenizer adds a BOS token, but the template writes none.

    Reports templates without the BOS token that the tokenizer adds to every text. Needs a tokenizer.

    ## Why is this bad?

    A model whose tokenizer adds a BOS token was trained with one. `apply_chat_template` tells the tokenizer not to add
    it, so the template has to write it. Without it, every conversation begins in a way that the model never saw.
    """

    example = "{% for message in messages %}{{ message.content }}{% endfor %}"
    use_instead = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"
    severity = "warning"
    message = "the tokenizer begins every text with {token}, but the template never writes it"
    hint = "write {{ bos_token }} first: apply_chat_template tells the tokenizer not to add it"
    law = "single-bos"
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        bos, rendering = bos_that_is_added(subject), subject.probe.render("turn")
        if bos is not None and rendering is not None and bos not in rendering.text:
            yield self.finding(subject.top(), rendering=rendering, token=bos)
