"""CT607."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.lint.vocabulary import stop_token
from chattmpl.template.blame import span_at

_FRAME = re.compile(r"<\|[^|<>\s]{1,60}\|>|<｜[^｜<>]{1,60}｜>")


class NotSpecial(Rule):
    """A control token of the template is an added token that is not marked as special.

    ## What it does

    Reports tokens of the frame of a turn (`<|name|>`) and stop tokens that the tokenizer knows, but not as special. It
    is a warning for a stop token. Needs a tokenizer.

    ## Why is this bad?

    `decode(skip_special_tokens=True)` leaves them in the text, so users see them. Tokenizers also may split or strip
    around such tokens in other ways, and what looks for special tokens in the text of users does not find them.

    ## Example

    ```jinja
    {# AddedToken("<|turn|>", special=False) #}
    <|turn|>{{ message.content }}
    ```

    ## Use instead

    ```jinja
    {# AddedToken("<|turn|>", special=True) #}
    <|turn|>{{ message.content }}
    ```
    """

    code = "CT607"
    name = "not-special"
    severity = "info"
    probes = True
    needs_tokenizer = True

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        rendering = subject.probe.render("turn")
        if rendering is None:
            return
        plain = {token.content for token in subject.tokenizer.added.values() if not token.special and not token.blank}
        stop = stop_token(subject)
        last = stop[2] if stop is not None else None
        places = {match[0]: match.start() for match in reversed(list(_FRAME.finditer(rendering.text)))}
        if stop is not None and stop[0].text == rendering.text:
            places[stop[2]] = stop[1]
        for content, start in places.items():
            if content in plain and span_at(rendering, start).literal:
                yield self.finding(
                    subject.blame(rendering, start),
                    f"{content} is in the vocabulary, but not marked as special",
                    'mark it as special in tokenizer.json ("special": true)',
                    severity="warning" if content == last else None,
                )
