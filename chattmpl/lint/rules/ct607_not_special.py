from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.probing.control_tokens import stop_token
from chattmpl.template.blame import span_at
from chattmpl.template.special_tokens import PIPED_CONTROL


class NotSpecial(Rule):
    """A control token of the template is not marked as special in the tokenizer.

    Reports control tokens around a turn (`<|name|>`) and stop tokens that are in the vocabulary but not special. This
    is a warning for a stop token. Needs a tokenizer.

    ## Why is this bad?

    `decode(skip_special_tokens=True)` keeps them in the text, so users see them. Tokenizers may also split or strip
    differently around such tokens, and checks for special tokens in user text do not find them.
    """

    example = '{# AddedToken("<|turn|>", special=False) #}\n<|turn|>{{ message.content }}'
    use_instead = '{# AddedToken("<|turn|>", special=True) #}\n<|turn|>{{ message.content }}'
    severity = "info"
    message = "{token} is in the vocabulary, but not marked as special"
    hint = 'mark it as special in tokenizer.json ("special": true)'
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        rendering = subject.probe.render("turn")
        if rendering is None:
            return
        plain = {token.content for token in subject.tokenizer.added.values() if not token.special and not token.blank}
        stop = stop_token(subject.probe)
        last = stop.content if stop is not None else None
        places = {match[0]: match.start() for match in reversed(list(PIPED_CONTROL.finditer(rendering.text)))}
        if stop is not None and stop.rendering.text == rendering.text:
            places[stop.content] = stop.start
        for content, start in places.items():
            if content in plain and span_at(rendering, start).literal:
                yield self.finding(
                    subject.blame(rendering, start), severity="warning" if content == last else None, token=content
                )
