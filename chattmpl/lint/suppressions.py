"""Comments that silence a finding: ``{# chattmpl: ignore CT203 the reason #}``.

A comment after other text on a line applies to that line; a comment alone on a line applies to the next one.
``ignore-file`` applies to the whole template. The reason is required.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import LintContext
from chattmpl.source import Place

_DIRECTIVE = re.compile(r"^[-+]?\s*chattmpl\s*:\s*(.*?)\s*[-+]?$", re.DOTALL)
_IGNORE = re.compile(r"ignore(-file)?(?:\s+(CT\d+(?:\s*,\s*CT\d+)*)\b)?[\s:,]*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Directive:
    """A comment with a directive for chattmpl.

    Attributes:
        place: the comment.
        text: the text after ``chattmpl:``.
        codes: the codes, or prefixes of codes, that it silences.
        line: the line that it applies to; None for the whole template.
        understood: whether it is an ``ignore``.
    """

    place: Place
    text: str
    codes: tuple[str, ...] = ()
    reason: str = ""
    line: int | None = None
    understood: bool = True

    @property
    def valid(self) -> bool:
        """Whether it silences anything."""
        return self.understood and bool(self.codes) and bool(self.reason)

    def silences(self, diagnostic: TemplateDiagnostic) -> bool:
        """Return whether it silences a finding."""
        concerned = self.line is None or self.line == diagnostic.place.line
        return self.valid and concerned and diagnostic.code.startswith(self.codes)


def directives(subject: LintContext) -> Iterator[Directive]:
    """Yield the directives in the comments of a template."""
    for comment in subject.comments:
        said = _DIRECTIVE.match(comment.value.strip())
        if said is None:
            continue
        place = subject.place(comment)
        ignore = _IGNORE.fullmatch(said[1])
        if ignore is None:
            yield Directive(place, said[1], understood=False)
            continue
        codes = tuple(re.findall(r"CT\d+", ignore[2] or ""))
        line = None if ignore[1] else _concerned(subject, comment.start, comment.end)
        yield Directive(place, said[1], codes, ignore[3].strip(), line)


def _concerned(subject: LintContext, start: int, end: int) -> int:
    text, source = subject.source.text, subject.source
    before = text[text.rfind("\n", 0, start) + 1 : start]
    newline = text.find("\n", end)
    after = text[end:] if newline < 0 else text[end:newline]
    if before.strip() or after.strip() or newline < 0:
        return source.position(start)[0]
    following = newline + 1
    while following < len(text) and text[following].isspace():
        following += 1
    return source.position(min(following, len(text)))[0]
