import re

from chattmpl.lint.rule import Findings, LintContext, Rule

_ADDRESS = re.compile(r"(?i)\bhttps?://[^\s'\"<>\\)]*[^\s'\"<>\\).,;:]")


class LinkInText(Rule):
    """The template writes a URL.

    Reports `http://` and `https://` in the template's own text. URLs in comments are ignored.

    ## Why is this bad?

    The template's text is in every prompt. A URL there makes a model mention, or with tools visit, a site that neither
    the user nor the operator chose.
    """

    example = "{{ 'See https://example.com/help for more.' }}"
    use_instead = "{{ message.content }}"
    severity = "info"
    message = "the template writes {address} into prompts"
    hint = "move it into a system message, so that whoever serves the model decides"

    def check(self, subject: LintContext) -> Findings:
        for offset, text in subject.data:
            match = _ADDRESS.search(text)
            if match is not None:
                yield self.finding(subject.at(offset + match.start(), len(match[0])), address=match[0])
