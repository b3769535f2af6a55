from chattmpl.errors import TemplateError
from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.lint.vocabulary import token_id
from chattmpl.probing.control_tokens import stop_token


class StopIsNotEos(Rule):
    """The stop token of the template does not end generation.

    Compares the token that ends an answer with the `eos_token_id` of `generation_config.json` in a model directory, or
    of `config.json` if there is no such file: `generate` of transformers stops there and nowhere else. If neither says,
    it is compared with the tokenizer's EOS token, which is a warning. Needs a tokenizer, except to report that one of
    these files cannot be read.

    ## Why is this bad?

    The model learns to end its answer with a token at which no engine stops. It continues, writes the user's next turn
    itself, and stops only at the token limit.
    """

    example = "{# eos_token is <|endoftext|> #}\n{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    use_instead = (
        "{# eos_token is <|im_end|>, or generation_config.json has its id among those of eos_token_id #}\n"
        "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    )
    severity = "error"
    message = {
        "model": "an answer ends with {token} (id {id}), at which generation does not stop: {file} stops at {ends}",
        "tokenizer": "an answer ends with {token} (id {id}), but the tokenizer's EOS token is {eos}",
        "unreadable": "{problem}",
    }
    hint = {
        "model": "add {id} to eos_token_id in {file}",
        "tokenizer": "set eos_token to {token}, and add {id} to eos_token_id in generation_config.json",
        "unreadable": "correct the file: transformers and engines read from it where generation stops",
    }
    law = "stop"

    def check(self, subject: LintContext) -> Findings:
        try:
            ends = subject.directory.stop_ids if subject.directory is not None else None
        except TemplateError as error:
            yield self.finding(subject.top(), "unreadable", words={"problem": error.message})
            return
        found = stop_token(subject.probe) if subject.tokenizer is not None else None
        if found is None:
            return
        stop = found.content
        own, family = token_id(subject, stop), subject.found.family
        if family is not None and stop in family.generation.stop_tokens and ends is None:
            return
        eos = subject.special_tokens.get("eos_token")
        if own is None or (own in ends if ends is not None else eos in (None, stop)):
            return
        yield self.finding_in(
            subject,
            found.rendering,
            found.start,
            "tokenizer" if ends is None else "model",
            token=stop,
            id=own,
            eos=eos,
            ends=", ".join(map(str, ends or ())),
            file=subject.directory.stop_file if subject.directory is not None else None,
            severity="warning" if ends is None else None,
        )
