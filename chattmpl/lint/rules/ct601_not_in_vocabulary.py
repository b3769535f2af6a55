from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.probing.control_tokens import missing_tokens


class NotInVocabulary(Rule):
    """A control token of the template is not a token of the tokenizer.

    Renders conversations, and reports control tokens of the template that the tokenizer splits: stop tokens, those of
    the form `<|name|>`, and others around the messages, such as `<start_of_turn>`. Tags around a section, as of
    reasoning, are text, and so is `[INST]` to tokenizers that have special tokens alone. Also checks the special
    tokens of the model's config. Needs a tokenizer.

    ## Why is this bad?

    The model gets ten ordinary tokens instead of the one that it knows, and such a stop token stops nothing.
    """

    example = "{{ '<|end_of_trun|>' }}"
    use_instead = "{{ '<|im_end|>' }}"
    severity = "error"
    message = {
        "control": "{token} is not a token of the tokenizer: it is split into {count}",
        "stop": "the stop token {token} is not a token of the tokenizer: it is split into {count}",
        "config": "{token} from the config is not a token of the tokenizer",
    }
    hint = {
        "control": "correct its spelling, or add it to the tokenizer and train its embedding",
        "stop": "correct its spelling, or add it to the tokenizer and train its embedding",
        "config": "use the tokenizer that belongs to the model, or correct the config",
    }
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        read = {name: content for name, content in sorted(subject.special_tokens.items()) if subject.reads(name)}
        found = missing_tokens(subject.probe, subject.tokenizer)
        missing = [token for token in found if token.stop or token.content not in read.values()]
        for token in missing:
            count = len(subject.tokenizer.encode(token.content))
            place = subject.blame(token.rendering, token.start)
            yield self.finding(place, "stop" if token.stop else "control", token=token.content, count=count)
        seen = {token.content for token in missing}
        special = {
            name: content
            for name, content in read.items()
            if content not in seen and not subject.tokenizer.has_token(content)
        }
        if special:
            told = ", ".join(f"{name} {content}" for name, content in special.items())
            yield self.finding(subject.first(*(rf"\b{name}\b" for name in special)), "config", token=told)
