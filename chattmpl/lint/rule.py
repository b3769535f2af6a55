"""The base class of rules, and their registry.

A rule imports what it needs for its findings and fixes from here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from chattmpl.diagnostic import Quoted, Severity, TemplateDiagnostic, wording
from chattmpl.lint.context import MASKED, LintContext
from chattmpl.lint.tag_edits import Moved, Way, moved
from chattmpl.probing.prober import Turn
from chattmpl.probing.roles import PlacedMessage
from chattmpl.rule_registry import Entry, Registry
from chattmpl.source import Place
from chattmpl.syntax.edits import Edit
from chattmpl.template.template import Rendering

__all__ = ["MASKED", "Edit", "Findings", "Fixes", "LintContext", "Quoted", "Rendering", "Rule", "Severity"]
__all__ += ["TemplateDiagnostic", "chosen", "replace_word", "rule_named", "rules"]

Findings = Iterator[TemplateDiagnostic]
"""The findings of a rule in one template."""

Fixes = Iterator[Sequence[Edit] | str]
"""Candidates for a fix, the likeliest first: edits of the source, or a new source."""

GROUPS = {
    "CT0": "Lint itself",
    "CT1": "The mask",
    "CT2": "Prompt and prefix",
    "CT3": "Lost and invented content",
    "CT4": "Portability between engines",
    "CT5": "Safety",
    "CT6": "Tokens",
    "CT7": "Clarity",
}
"""The first three characters of a code, and the subject of its rules."""


class Rule(Entry, ABC):
    """A defect that a template can have.

    Attributes:
        example: a template that has the defect.
        use_instead: the same without it.
        message, hint: the patterns of its findings' words, by kind if there are several; ``{name}`` is a field of the
            finding's data.
        law: the law that its findings break, if any.
        needs_tokenizer: whether it runs only with a tokenizer.
        per_mode: whether the rule is also checked in each mode of the template. What is dropped or printed wrongly in
            one mode usually is in all, so most rules need not be.
        loses: the fields, as a family's limits name them, whose loss the rule reports.
        compares: the key of its counterexamples that holds the text that the key ``text`` should begin with.
        explains: codes of findings that are consequences of its findings and are then left out: of the whole
            template, or with ``:line`` those on the same line.
        fix_spans: how a fix may change generated spans: not at all (``same``), or by losing or gaining text
            (``shrink``, ``grow``).
        moves_tag: the end of a generation tag that a fix moves, and its direction, if that is the fix.
    """

    example: ClassVar[str]
    use_instead: ClassVar[str]
    message: ClassVar[str | Mapping[str, str]]
    hint: ClassVar[str | Mapping[str, str]]
    law: ClassVar[str | None] = None
    needs_tokenizer: ClassVar[bool] = False
    per_mode: ClassVar[bool] = False
    loses: ClassVar[tuple[str, ...]] = ()
    compares: ClassVar[str | None] = None
    explains: ClassVar[tuple[str, ...]] = ()
    fix_spans: ClassVar[Literal["same", "shrink", "grow"]] = "same"
    moves_tag: ClassVar[tuple[Moved, Way] | None] = None

    @abstractmethod
    def check(self, subject: LintContext) -> Findings:
        """Yield the findings in one template."""

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Yield candidates for a fix, the likeliest first.

        They need not be correct: a candidate is used only if it is proven to change no text; see `chattmpl.lint.fix`.
        """
        if self.moves_tag is not None:
            yield from moved(subject, finding, *self.moves_tag)

    def finding_in(
        self, subject: LintContext, shown: Rendering | Turn, offset: int, kind: str = "", **details: Any
    ) -> TemplateDiagnostic:
        """Return a diagnostic about a character of a rendering or of a turn, which shows it; see `finding`."""
        if isinstance(shown, Turn):
            place = subject.blame(shown.whole, offset)
            return self.finding(place, kind, counterexample=shown.counterexample(), **details)
        return self.finding(subject.blame(shown, offset), kind, rendering=shown, **details)

    def first_dropped(self, subject: LintContext, placed: Iterable[tuple[str, PlacedMessage]]) -> Findings:
        """Yield a finding about the first place, its kind, in which a message of the application is dropped."""
        for place, found in placed:
            if found.fate == "dropped" and isinstance(found.made, Rendering):
                where = subject.first(r"'system'", r"\bsystem\b", r"for \w+ in \w*messages")
                yield self.finding(where, place, rendering=found.made)
                return

    @classmethod
    def documentation(cls) -> str:
        """Return the docstring and the examples in Markdown."""
        examples = (("Example", cls.example), ("Use instead", cls.use_instead))
        code = (f"## {heading}\n\n```jinja\n{text}\n```" for heading, text in examples)
        return "\n\n".join((super().documentation(), *code))

    @classmethod
    def fixable(cls) -> bool:
        """Return whether the rule offers fixes."""
        return cls.fix is not Rule.fix or cls.moves_tag is not None

    def finding(
        self,
        place: Place,
        kind: str = "",
        *,
        severity: Severity | None = None,
        rendering: Rendering | None = None,
        counterexample: Mapping[str, Any] | None = None,
        intended_edits: Sequence[Edit] = (),
        words: Mapping[str, str] | None = None,
        **data: Any,
    ) -> TemplateDiagnostic:
        """Return a diagnostic of this rule.

        Args:
            place: where in the template.
            kind: the key of `message` and `hint`, if these have several.
            severity: the severity, if not that of the rule.
            rendering: a rendering that shows it.
            counterexample: the conversation that shows it and the texts, as JSON types; by default from `rendering`.
            intended_edits: what the author probably meant to write.
            words: more values for message and hint, for people only.
            **data: the values that describe it.
        """
        message, hint = (one if isinstance(one, str) else one[kind] for one in (self.message, self.hint))
        given = {**data, **(words or {})}
        if rendering is not None and counterexample is None:
            counterexample = {"conversation": rendering.conversation.dump(), "text": rendering.text}
        return TemplateDiagnostic(
            code=self.code,
            severity=severity or self.severity,
            place=place,
            message=wording(message, given),
            hint=wording(hint, given),
            kind=kind,
            data=data,
            law=self.law,
            counterexample=counterexample,
            intended_edits=tuple(intended_edits),
        )


def replace_word(subject: LintContext, written: str, intended: str) -> list[Edit]:
    """Return edits that replace a word wherever it is a name or a whole string in a tag."""
    edits = []
    for offset, kind, value in subject.tokens:
        if kind == "name" and value == written:
            edits.append(Edit(offset, offset + len(value), intended))
        elif kind == "string" and value[1:-1] == written:
            edits.append(Edit(offset + 1, offset + len(value) - 1, intended))
    return edits


RULES: Registry[Rule] = Registry("chattmpl.lint.rules", Rule, "rule")
rules, rule_named, chosen = RULES.entries, RULES.named, RULES.select
