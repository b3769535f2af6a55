import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_ENCODED = re.compile(
    r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9+/]*[0-9])(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*[A-Z])[A-Za-z0-9+/]{48,}={0,2}"
    r"|(?<![A-Za-z0-9])(?:[0-9a-fA-F]{2}){32,}(?![A-Za-z0-9])"
)
_ESCAPES = re.compile(r"(?:\\x[2-7][0-9a-fA-F]|\\u00[2-7][0-9a-fA-F]){4,}")


class EncodedText(Rule):
    r"""The template writes encoded text.

    Reports long runs of base64 or hexadecimal digits in the template's own text, and plain letters written as escapes
    (`\x49\x67…`).

    ## Why is this bad?

    A chat template has nothing to hide from its reader. Models read base64 well, so the model follows an encoded
    instruction that a reviewer misses.
    """

    example = r"{{ '\x68\x69\x64\x64\x65\x6e' }}"
    use_instead = "{{ 'hidden' }}"
    severity = "warning"
    message = "encoded text is written into prompts: {text}"
    hint = "write it in plain letters, and decide whether it belongs into every prompt"

    def check(self, subject: LintContext) -> Findings:
        for offset, text in subject.data:
            match = _ESCAPES.search(text) or _ENCODED.search(text)
            if match is not None:
                yield self.finding(subject.at(offset + match.start(), len(match[0])), text=Quoted(match[0], 24))
