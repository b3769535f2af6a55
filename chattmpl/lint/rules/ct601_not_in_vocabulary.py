from chattmpl.encode import encode
from chattmpl.lint.rule import Findings, LintContext, Rule
from chattmpl.lint.vocabulary import stop_token
from chattmpl.template.blame import span_at
from chattmpl.template.special_tokens import PIPED_CONTROL


class NotInVocabulary(Rule):
    """A control token of the template is not a token of the tokenizer.

    ## What it does

    Renders conversations, encodes them with the tokenizer, and reports control tokens (`<|name|>`) and stop tokens of
    the template that become several tokens. Also checks the special tokens of the model's config. Needs a tokenizer.

    ## Why is this bad?

    The model gets ten ordinary tokens instead of the one that it knows, and such a stop token stops nothing.

    ## Example

    ```jinja
    {{ '<|end_of_trun|>' }}
    ```

    ## Use instead

    ```jinja
    {{ '<|im_end|>' }}
    ```
    """

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
    probes = True
    needs_tokenizer = True

    def check(self, subject: LintContext) -> Findings:
        seen: set[str] = set()
        for name in ("turn", "system", "calls"):
            rendering = subject.probe.render(name, prompt=name == "turn")
            if rendering is None:
                continue
            encoding = encode(rendering, subject.tokenizer)
            whole = set(encoding.offsets)
            for match in PIPED_CONTROL.finditer(rendering.text):
                if match[0] in seen or match.span() in whole or not span_at(rendering, match.start()).literal:
                    continue
                covering = sum(start < match.end() and end > match.start() for start, end in encoding.offsets)
                if covering > 1:
                    seen.add(match[0])
                    yield self.finding(
                        subject.blame(rendering, match.start()), "control", token=match[0], count=covering
                    )
        yield from self._stop(subject, seen)
        yield from self._special(subject, seen)

    def _stop(self, subject: LintContext, seen: set[str]) -> Findings:
        found = stop_token(subject)
        if found is None or found[2] in seen:
            return
        rendering, start, stop = found
        count = len(subject.tokenizer.encode(stop))
        if count > 1:
            seen.add(stop)
            yield self.finding(subject.blame(rendering, start), "stop", token=stop, count=count)

    def _special(self, subject: LintContext, seen: set[str]) -> Findings:
        missing = [
            (name, content)
            for name, content in sorted(subject.special_tokens.items())
            if subject.reads(name) and content not in seen and len(subject.tokenizer.encode(content)) > 1
        ]
        if missing:
            told = ", ".join(f"{name} {content}" for name, content in missing)
            yield self.finding(subject.first(*(rf"\b{name}\b" for name, _ in missing)), "config", token=told)
