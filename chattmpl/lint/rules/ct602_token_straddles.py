"""CT602."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.encode import encode
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule


class TokenStraddles(Rule):
    """A token stands across the edge of a generated span.

    ## What it does

    Encodes conversations with the given tokenizer, and reports tokens that begin in the prompt and end in generated
    text, or the other way round. Needs `--tokenizer`.

    ## Why is this bad?

    At inference the prompt is encoded by itself, and ends with other tokens than the training text has there. The mask
    of such a token is wrong whatever it is.

    ## Example

    ```jinja
    Assistant:{% generation %} {{ message.content }}{{ eos_token }}{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    <|assistant|>{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}
    ```
    """

    code = "CT602"
    name = "token-straddles"
    severity = "warning"
    law = "boundary"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for name in ("turns", "calls", "reasoning") if subject.generation else ():
            rendering = subject.probe.render(name)
            if rendering is None:
                continue
            for straddle in encode(rendering, subject.tokenizer).straddles:
                yield self.finding(
                    subject.blame(rendering, straddle.start_c),
                    f"the token {straddle.text!r} stands across the edge of generated text",
                    "put a control token at the edge, or end the prompt with the whole of what the token covers",
                    counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
                )
