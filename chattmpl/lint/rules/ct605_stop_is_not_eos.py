"""CT605."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.model import model_of
from chattmpl.lint.rule import Rule
from chattmpl.lint.vocabulary import stop_token, token_id


class StopIsNotEos(Rule):
    """The stop token of the template is none that ends generation.

    ## What it does

    Compares the token that ends an answer with the tokenizer's EOS, and with the `eos_token_id` of
    `generation_config.json` where a model directory has one. It is a warning where that file is missing. Needs a
    tokenizer.

    ## Why is this bad?

    The model learns to end its answer with a token at which no engine stops: it goes on, writes the user's next turn
    itself, and ends at the limit of tokens.

    ## Example

    ```jinja
    {# eos_token is <|endoftext|> #}
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
    ```

    ## Use instead

    ```jinja
    {# eos_token is <|im_end|>, or generation_config.json has its id among those of eos_token_id #}
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
    ```
    """

    code = "CT605"
    name = "stop-is-not-eos"
    severity = "error"
    law = "stop"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        found = stop_token(subject)
        if found is None:
            return
        rendering, start, stop = found
        model, own, family = model_of(subject), token_id(subject, stop), subject.found.family
        if family is not None and stop in family.generation.stop_tokens and model.ends is None:
            return
        eos = model.tokens.get("eos_token")
        if own is None or (eos is None and model.ends is None) or stop == eos or own in (model.ends or ()):
            return
        known = [] if eos is None else [f"the tokenizer's EOS is {eos}"]
        known += [] if model.ends is None else [f"generation_config.json ends at {', '.join(map(str, model.ends))}"]
        yield self.finding(
            subject.blame(rendering, start),
            f"an answer ends with {stop} (id {own}), at which no engine stops: {' and '.join(known)}",
            f"add {own} to eos_token_id in generation_config.json, or set eos_token to {stop}",
            severity="warning" if model.ends is None else None,
            counterexample={"conversation": rendering.conversation.dump(), "text": rendering.text},
        )
