"""Fixes of rules, each applied only if it is proven to change no rendered text."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from chattmpl.diagnostic import SEVERITIES, TemplateDiagnostic
from chattmpl.errors import ChatTmplError
from chattmpl.lint.context import LintContext
from chattmpl.lint.proof import ReferenceRenderings
from chattmpl.lint.rule import Rule, rules
from chattmpl.lint.rules.ct003_unused_ignore import UnusedIgnore
from chattmpl.lint.runner import check_in_modes, every, examine
from chattmpl.syntax.edits import Edit, apply_edits
from chattmpl.template.resolver import TemplateSource

CANDIDATES = 80
"""The most edits to try for one finding."""

Counted = Counter[tuple[str, str]]
"""The number of findings of each code and severity."""

Live = Callable[[list[TemplateDiagnostic]], list[TemplateDiagnostic]]
"""A filter for the findings to fix; a baseline excludes some."""


@dataclass
class Fixed:
    """A template after fixing.

    Attributes:
        found: the template with the fixes.
        fixed: the findings that were fixed.
        left: the findings that remain.
    """

    found: TemplateSource
    fixed: list[TemplateDiagnostic] = field(default_factory=list)
    left: list[TemplateDiagnostic] = field(default_factory=list)


def fix(
    found: TemplateSource, chosen: Sequence[Rule], tokenizer: Any = None, live: Live = lambda given: given
) -> Fixed:
    """Fix all findings of rules that can be fixed without changing any rendered text; ``live`` filters those to fix."""
    subject, findings = examine(found, chosen, tokenizer)
    result = Fixed(found, [], live(findings))
    proof = ReferenceRenderings(subject) if subject is not None else None
    refused: set[tuple[Any, ...]] = set()
    before: Counted | None = None
    while subject is not None and proof is not None:
        for finding in result.left:
            key = (finding.problem, finding.place.start, len(result.fixed))
            if not finding.fixable or key in refused:
                continue
            before = _counted(subject.found, rules().values(), tokenizer) if before is None else before
            better = _fixed(subject, finding, proof, tokenizer, before)
            if better is not None:
                before = None
                result.found = better
                result.fixed.append(finding)
                subject, findings = examine(better, chosen, tokenizer)
                result.left = live(findings)
                break
            refused.add(key)
        else:
            break
    return result


def _fixed(
    subject: LintContext, finding: TemplateDiagnostic, proof: ReferenceRenderings, tokenizer: Any, before: Counted
) -> TemplateSource | None:
    """Return the template with the first edit that fixes the finding and nothing else; None if there is none."""
    rule = rules()[finding.code]
    found = _grave(check_in_modes(rule, subject))
    for candidate in islice(rule.fix(subject, finding), CANDIDATES):
        made = edited(subject.found, candidate)
        if made is None or made.source.text == subject.found.source.text or not _fewer(made, rule, found, tokenizer):
            continue
        after = _counted(made, rules().values(), tokenizer)
        if _better(before, after, rule.code) and _equal(made, subject, rule, proof):
            return made
    return None


def edited(found: TemplateSource, candidate: Sequence[Edit] | str) -> TemplateSource | None:
    """Return the template with edits, its line endings kept; None if the edits cannot be made."""
    text = found.source.text
    if isinstance(candidate, str):
        return replace(found, source=found.source.with_text(candidate))
    if "\r" in text:
        candidate = _with_returns(text, candidate)
    try:
        made = apply_edits(text, candidate).text
    except AssertionError:  # two edits at one place
        return None
    return replace(found, source=found.source.with_text(made))


def _with_returns(text: str, edits: Iterable[Edit]) -> list[Edit]:
    """Convert edits of the text with LF newlines to edits of the original text."""
    folded = [index for index, char in enumerate(text) if char == "\r" and text[index + 1 : index + 2] == "\n"]
    # The number of characters by which offsets after each of them are too small.
    starts = [index - number for number, index in enumerate(folded)]
    newline = "\r\n" if folded else "\r"

    def original(offset: int) -> int:
        return offset + bisect_left(starts, offset)

    return [Edit(original(e.start), original(e.end), e.text.replace("\n", newline)) for e in edits]


def _fewer(made: TemplateSource, rule: Rule, before: tuple[int, ...], tokenizer: Any) -> bool:
    """Return whether the rule reports fewer findings, which is the cheapest check."""
    try:
        return isinstance(rule, UnusedIgnore) or _grave(check_in_modes(rule, LintContext(made, tokenizer))) < before
    except ChatTmplError:
        return False


def _better(before: Counted, after: Counted, code: str) -> bool:
    """Return whether there are fewer findings of one rule, and no more of any other."""
    mine = [tuple(counts[code, severity] for severity in SEVERITIES) for counts in (before, after)]
    return mine[1] < mine[0] and all(after[key] <= before[key] for key in after if key[0] != code)


def _grave(findings: Iterable[TemplateDiagnostic]) -> tuple[int, ...]:
    counts = Counter(finding.severity for finding in findings)
    return tuple(counts[severity] for severity in SEVERITIES)


def _counted(found: TemplateSource, chosen: Iterable[Rule], tokenizer: Any) -> Counted:
    # Consequences of a fixed finding must disappear as well.
    return Counter((finding.code, finding.severity) for finding in every(found, tuple(chosen), tokenizer))


def _equal(made: TemplateSource, subject: LintContext, rule: Rule, proof: ReferenceRenderings) -> bool:
    try:
        other = LintContext(made, subject.tokenizer).template
    except ChatTmplError:
        return False
    return proof.holds(other, rule.fix_spans)
