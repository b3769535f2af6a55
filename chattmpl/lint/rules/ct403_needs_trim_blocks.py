from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import NoneType

from chattmpl.lint.rule import Edit, Findings, Fixes, LintContext, Rule, TemplateDiagnostic
from chattmpl.syntax.items import Item, Text


def _explicit(source: str, items: Sequence[Item]) -> Iterator[Edit]:
    """Yield edits after which no text depends on the options."""
    for before, after in pairwise([None, *items, None]):
        start, end = before.end if before else 0, after.start if after else len(source.removesuffix("\n"))
        if start >= end or _dashed(source, before, -3) or _dashed(source, after, 2):
            continue
        if after is not None and not isinstance(before, (Text, NoneType)) and not isinstance(after, Text):
            sign = after.start + 2
            yield Edit(sign, sign + (source[sign] == "+"), "-")
        elif isinstance(after, Text) and source[after.start] == "\n":
            # After a tag, a line break would be trimmed.
            yield Edit(start, after.start + 1, "{{ '\\n' }}")
        else:
            yield Edit(start, end, "")


def _gap(source: str, offset: int) -> int:
    """Return the start of the white space before a tag, for an offset after the tag's first two characters."""
    return len(source[: offset - 2].rstrip()) if source[offset - 2 : offset] in ("{%", "{{", "{#") else offset


def _dashed(source: str, item: Item | None, at: int) -> bool:
    """Return whether an item has a dash at its start (at 2) or its end (at -3)."""
    if item is None or isinstance(item, Text):
        return False
    return source[(item.end if at < 0 else item.start) + at] == "-"


class NeedsTrimBlocks(Rule):
    """The text depends on trim_blocks and lstrip_blocks.

    Compares the template's own text with and without Jinja's options `trim_blocks` and `lstrip_blocks`, and reports
    the first place where they differ.

    ## Why is this bad?

    transformers sets both options. TGI sets neither, so the line breaks after tags and the indentation before them
    become part of the prompt.
    """

    example = "{% if m.role == 'user' %}\n{{ m.content }}{% endif %}"
    use_instead = "{%- if m.role == 'user' -%}\n{{ m.content }}{%- endif -%}"
    severity = "info"
    message = "from here on, the text has different white space without trim_blocks and lstrip_blocks"
    hint = "write explicitly what to trim: {%- … -%}; TGI sets neither option"

    def check(self, subject: LintContext) -> Findings:
        first = next(_explicit(subject.source.text, subject.tree.flat), None)
        if first is not None:
            line, _ = subject.source.position(_gap(subject.source.text, first.start))
            yield self.finding(subject.line(line))

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Make all trimming explicit: with a dash if it trims nothing else, otherwise by removing the white space."""
        yield list(_explicit(subject.source.text, subject.tree.flat))
