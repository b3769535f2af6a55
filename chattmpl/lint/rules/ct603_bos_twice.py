from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.lint.vocabulary import bos_that_is_added


class BosTwice(Rule):
    """Template and tokenizer both write the BOS token.

    Reports templates that begin with the BOS token that the tokenizer adds to every text. Needs a tokenizer.

    ## Why is this bad?

    `apply_chat_template` tells the tokenizer not to add it, so the result is correct. Rendering to text first and then
    calling the tokenizer gives two BOS tokens, which the model never saw. This is a note, since many models are shipped
    like this.
    """

    example = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"
    use_instead = (
        "{# encode with add_special_tokens=False #}\n"
        "{{- bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"
    )
    severity = "info"
    message = "the tokenizer adds {token}, and the template writes it too"
    hint = "encode rendered text with add_special_tokens=False, as apply_chat_template does"
    law = "single-bos"
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        bos, rendering = bos_that_is_added(subject), subject.probe.render("turn")
        if bos is not None and rendering is not None and rendering.text.startswith(bos):
            yield self.finding_in(subject, rendering, 0, token=bos)
