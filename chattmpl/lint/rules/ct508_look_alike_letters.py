import re
import unicodedata

from chattmpl.lint.rule import Edit, Findings, LintContext, Quoted, Rule

_OTHER = "\u0370-\u03ff\u0400-\u052f"
_MIXED = re.compile(rf"\b[A-Za-z_]*(?:[A-Za-z][{_OTHER}]|[{_OTHER}][A-Za-z])[\w]*")

_LATIN = str.maketrans("аеорсухіјѕԁһӏкмтвнαορνικτ", "aeopcyxijsdhlkmtbhaopvikt")
"""Cyrillic and Greek letters, and the Latin letters that they look like."""


class LookAlikeLetters(Rule):
    """A word mixes look-alike letters of several scripts.

    Reports words of the template's own text that mix Latin letters with Cyrillic or Greek ones.

    ## Why is this bad?

    A control token with a Cyrillic letter is ordinary text, although it looks right in every editor. It is not in the
    vocabulary, and the model never sees the end of the turn.
    """

    example = "{{ '<|іm_end|>' }}"
    use_instead = "{{ '<|im_end|>' }}"
    severity = "warning"
    message = "{word} mixes scripts: one letter is {letter}"
    hint = "retype the word in one script"

    def check(self, subject: LintContext) -> Findings:
        for offset, text in subject.data:
            match = _MIXED.search(text)
            if match is not None:
                other = next(char for char in match[0] if ord(char) > 0x36F)
                place = subject.at(offset + match.start(), len(match[0]))
                latin = subject.source.text[place.start : place.end].translate(_LATIN)
                yield self.finding(
                    place,
                    intended_edits=[Edit(place.start, place.end, latin)],
                    word=Quoted(match[0]),
                    letter=unicodedata.name(other).lower(),
                )
