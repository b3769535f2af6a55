from chattmpl.encode import encode
from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule


class TokenStraddles(Rule):
    """A token straddles the edge of a generated span.

    Encodes conversations with the tokenizer, and reports tokens that begin in the prompt and end in a generated span,
    or vice versa. Needs a tokenizer.

    ## Why is this bad?

    At inference the prompt is encoded on its own, and ends with different tokens than the training text has there.
    Either value of the mask is wrong for such a token.
    """

    example = "Assistant:{% generation %} {{ message.content }}{{ eos_token }}{% endgeneration %}"
    use_instead = "<|assistant|>{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}"
    severity = "warning"
    message = "the token {token} straddles the edge of a generated span"
    hint = "put a control token at the edge, or end the prompt after all text that the token covers"
    law = "boundary"
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        for name in ("turns", "calls", "reasoning") if subject.generation else ():
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            for straddle in encode(rendering, subject.tokenizer).straddles:
                yield self.finding_in(subject, rendering, straddle.start_c, token=Quoted(straddle.text))
