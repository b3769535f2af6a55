"""CT508."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule
from chattmpl.syntax.edits import Edit

_OTHER = "\u0370-\u03ff\u0400-\u052f"
_MIXED = re.compile(rf"\b[A-Za-z_]*(?:[A-Za-z][{_OTHER}]|[{_OTHER}][A-Za-z])[\w]*")

_LATIN = str.maketrans("аеорсухіјѕԁһӏкмтвнαορνικτ", "aeopcyxijsdhlkmtbhaopvikt")
"""Cyrillic and Greek letters, and those that they look like."""


class LookAlikeLetters(Rule):
    """A word mixes letters of several scripts that look alike.

    ## What it does

    Reports words of the template's own text in which Latin letters stand beside Cyrillic or Greek ones.

    ## Why is this bad?

    A Cyrillic letter in a control token makes it ordinary text, that looks right in every editor: it is not in the
    vocabulary, and the model never sees the end of the turn.

    ## Example

    ```jinja
    {{ '<|іm_end|>' }}
    ```

    ## Use instead

    ```jinja
    {{ '<|im_end|>' }}
    ```
    """

    code = "CT508"
    name = "look-alike-letters"
    severity = "warning"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        for offset, text in subject.data:
            match = _MIXED.search(text)
            if match is not None:
                other = next(char for char in match[0] if ord(char) > 0x36F)
                yield self.finding(
                    subject.at(offset + match.start(), len(match[0])),
                    f"{match[0]!r} mixes scripts: one letter is {unicodedata.name(other).lower()}",
                    "type the word anew in one script",
                )

    def meant(self, subject: Subject, finding: TemplateDiagnostic) -> Sequence[Edit]:
        """The same word in Latin letters."""
        start, end = finding.place.start, finding.place.end
        return [Edit(start, end, subject.source.text[start:end].translate(_LATIN))]
