"""Differences between two templates: texts and generated spans by cause, and laws."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal

from chattmpl.budget import allow
from chattmpl.compare.cases import RenderCase
from chattmpl.conversation.models import Conversation
from chattmpl.encode import encode
from chattmpl.errors import ChatTmplError
from chattmpl.laws import laws_named
from chattmpl.laws.checker import Verdict, check
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing.prober import render_or_error
from chattmpl.source import Place
from chattmpl.template.spans import Span
from chattmpl.template.template import Rendering, Template

Kind = Literal["text", "mask"]
Change = Literal["text", "mask", "refused", "accepted"]
LawChange = Literal["broken", "holds", "otherwise"]
Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")

_WORDS = re.compile(r"<[^<>\s]+>|\w+|\s|[^\w\s]")
_MOST_WORDS = 4_000
"""Limit of a comparison word by word; longer texts are one change from the first difference on."""


@dataclass(frozen=True)
class Hunk:
    """One change in one case.

    Attributes:
        kind: ``text``, or ``mask`` if the text is the same and only the generated spans differ.
        before, after: the two renderings.
        old, new: half-open character ranges in them.
    """

    kind: Kind
    before: Rendering
    after: Rendering
    old: tuple[int, int]
    new: tuple[int, int]

    @property
    def gained(self) -> bool:
        """True for a change of the mask in which the characters are generated in the second rendering only."""
        return self.kind == "mask" and _span_at(self.after, self.new[0]).generated

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of the cause: the lines of both templates, and the first field or word of the change."""
        other = self.before if self.gained else self.after
        if self.kind == "mask" and not other.generated:
            return self.kind, self.gained  # one of the templates generates nothing
        sides = ((self.before, self.old), (self.after, self.new))
        return (self.kind, self.gained, *(self._side(rendering, span) for rendering, span in sides))

    @staticmethod
    def _side(rendering: Rendering, span: tuple[int, int]) -> tuple[Any, ...] | None:
        if span[0] == span[1]:
            return None
        first = _span_at(rendering, span[0])
        if first.field is not None:
            return first.line, re.split(r"[.\[]", first.field)[0]
        words = _WORDS.findall(rendering.text[span[0] : min(span[1], first.end)])
        return first.line, next((word for word in words if not word.isspace()), "")

    def place(self, side: Side) -> Place | None:
        """Return the template line that wrote the characters of one side, or the text before an insertion."""
        rendering, span = (self.before, self.old) if side == "before" else (self.after, self.new)
        if not rendering.spans:
            return None
        line = _span_at(rendering, span[0] if span[0] < span[1] else max(span[0] - 1, 0)).line
        return None if line is None else Place.of_line(rendering.template.program.source, line)


def hunks(before: Rendering, after: Rendering) -> Iterator[Hunk]:
    """Yield the changes from one rendering to the other, in the order of the text."""
    for kept, old, new in _blocks(before.text, after.text):
        if not kept:
            yield Hunk("text", before, after, *_slid(before, after, old, new))
            continue
        yield from _masks(before, after, old, new)


def _blocks(old: str, new: str) -> Iterator[tuple[bool, tuple[int, int], tuple[int, int]]]:
    """Yield kept and changed stretches, as ranges of both texts."""
    if old == new:
        yield True, (0, len(old)), (0, len(new))
        return
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(old.rfind(sign, 0, start) for sign in " \n>") + 1  # whole words
    words = [_WORDS.findall(old, start), _WORDS.findall(new, start)]
    if start:
        yield True, (0, start), (0, start)
    if max(map(len, words)) > _MOST_WORDS:
        yield False, (start, len(old)), (start, len(new))
        return
    offsets = [_offsets(start, part) for part in words]
    for tag, a, b, c, d in SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes():
        yield tag == "equal", (offsets[0][a], offsets[0][b]), (offsets[1][c], offsets[1][d])


def _slid(
    before: Rendering, after: Rendering, old: tuple[int, int], new: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Move a pure insertion or deletion that fits in several places to the first place that begins a span."""
    if (old[0] == old[1]) == (new[0] == new[1]):
        return old, new
    rendering, (start, end) = (after, new) if old[0] == old[1] else (before, old)
    text, edges = rendering.text, {span.start for span in rendering.spans}
    back = 0
    while start - back > 0 and text[start - back - 1] == text[end - back - 1]:
        back += 1
    on = 0
    while end + on < len(text) and text[start + on] == text[end + on]:
        on += 1
    shifts = [shift for shift in range(-back, on + 1) if start + shift in edges]
    # White space repeats most often and says the least, so other places are preferred.
    shifts.sort(key=lambda shift: text[start + shift : start + shift + 1].isspace())
    shift = shifts[0] if shifts else 0
    return (old[0] + shift, old[1] + shift), (new[0] + shift, new[1] + shift)


def _offsets(start: int, words: list[str]) -> list[int]:
    found = [start]
    for word in words:
        found.append(found[-1] + len(word))
    return found


def _masks(before: Rendering, after: Rendering, old: tuple[int, int], new: tuple[int, int]) -> Iterator[Hunk]:
    """Yield stretches of common text that are generated in one rendering only."""
    one, other = _flags(before, *old), _flags(after, *new)
    position = 0
    while position < len(one):
        start = position
        changed = one[start] != other[start]
        while position < len(one) and (one[position] != other[position]) == changed and one[position] == one[start]:
            position += 1
        if changed:
            ranges = ((offset + start, offset + position) for offset in (old[0], new[0]))
            yield Hunk("mask", before, after, *ranges)


def _flags(rendering: Rendering, start: int, end: int) -> bytes:
    flags = bytearray(len(rendering.text))
    for one, other in rendering.generated:
        flags[one:other] = b"\1" * (other - one)
    return bytes(flags[start:end])


def _span_at(rendering: Rendering, offset: int) -> Span:
    return next((span for span in rendering.spans if span.start <= offset < span.end), rendering.spans[-1])


@dataclass
class ChangeGroup:
    """Changes with one cause.

    Attributes:
        change: the kind; ``refused`` if only the first template renders the cases, ``accepted`` if only the second.
        cases: the cases concerned.
        hunk: the change in the first of them; None if one template refuses.
        error: the error of the template that refuses.
    """

    change: Change
    cases: list[RenderCase] = field(default_factory=list)
    hunk: Hunk | None = None
    error: str | None = None


@dataclass(frozen=True)
class LawDifference:
    """A law that holds for one template only, or that is broken in another way.

    Attributes:
        change: the outcome for the second template: ``broken``, ``holds``, or broken ``otherwise``.
        holds: numbers of cases for which it holds, before and after.
        counterexamples: those of the template that breaks it; for ``otherwise`` the new ones.
    """

    law: str
    change: LawChange
    holds: tuple[int, int]
    counterexamples: tuple[Counterexample, ...]


@dataclass
class Counts:
    """Numbers of generated characters, and with a tokenizer of trained tokens, in all cases that both render."""

    generated: tuple[int, int] = (0, 0)
    trained: tuple[int, int] | None = None


@dataclass
class Difference:
    """The changes from one template to another.

    Attributes:
        before, after: the templates.
        renders: number of cases.
        changed: names of the conversations with changes.
        groups: the changes by cause.
        laws: the laws that change.
        counts: amounts of generated text.
    """

    before: Template
    after: Template
    renders: int = 0
    changed: list[str] = field(default_factory=list)
    groups: list[ChangeGroup] = field(default_factory=list)
    laws: list[LawDifference] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    @property
    def empty(self) -> bool:
        """True if nothing changes."""
        return not self.groups and not self.laws


def diff(before: Template, after: Template, cases: Iterable[RenderCase], tokenizer: Any = None) -> Difference:
    """Compare the renderings of two templates, each without the kwargs that it does not read.

    With a tokenizer, trained tokens are counted too.

    Raises:
        BudgetError: if the renders take too many steps together.
    """
    found = Difference(before, after)
    groups: dict[tuple[Any, ...], ChangeGroup] = {}
    every = list(cases)
    with allow(before.budget.of_cases(len(every))) as allowance:
        for case in every:
            _compare(found, groups, case, tokenizer)
        # With nothing left, both templates would seem to refuse the same cases.
        allowance.check()
    found.groups = sorted(groups.values(), key=lambda group: -len(group.cases))
    return found


def _compare(found: Difference, groups: dict[tuple[Any, ...], ChangeGroup], case: RenderCase, tokenizer: Any) -> None:
    """Add the changes of one case to their groups."""
    found.renders += 1
    one, other = (
        render_or_error(template, case.conversation, case.prompt, template.program.read_of(case.kwargs))
        for template in (found.before, found.after)
    )
    keys: dict[tuple[Any, ...], ChangeGroup] = {}
    if isinstance(one, Rendering) and isinstance(other, Rendering):
        _count(found.counts, one, other, tokenizer)
        for hunk in hunks(one, other):
            keys.setdefault(hunk.key, ChangeGroup(hunk.kind, hunk=hunk))
    elif isinstance(other, ChatTmplError) and isinstance(one, Rendering):
        keys["refused", _without_numbers(other.cause)] = ChangeGroup("refused", error=other.message)
    elif isinstance(one, ChatTmplError) and isinstance(other, Rendering):
        keys["accepted", _without_numbers(one.cause)] = ChangeGroup("accepted", error=one.message)
    for key, group in keys.items():
        groups.setdefault(key, group).cases.append(case)
    if keys and case.name not in found.changed:
        found.changed.append(case.name)


def _without_numbers(cause: tuple[str, ...]) -> str:
    return re.sub(r"\d+", "", " ".join(cause))


def _count(counts: Counts, one: Rendering, other: Rendering, tokenizer: Any) -> None:
    sizes = [sum(end - start for start, end in rendering.generated) for rendering in (one, other)]
    counts.generated = (counts.generated[0] + sizes[0], counts.generated[1] + sizes[1])
    if tokenizer is not None:
        trained = [sum(encode(rendering, tokenizer).assistant_masks) for rendering in (one, other)]
        old = counts.trained or (0, 0)
        counts.trained = (old[0] + trained[0], old[1] + trained[1])


def law_differences(
    before: Template, after: Template, conversations: Sequence[Conversation], tokenizer: Any = None
) -> list[LawDifference]:
    """Return the laws that hold for one template only, or that are broken in new ways."""
    laws = laws_named(None)
    reports = [check(template, laws, conversations, tokenizer) for template in (before, after)]
    pairs = zip(*(report.verdicts for report in reports), strict=True)
    return [found for one, other in pairs if (found := _law(one, other)) is not None]


def _law(one: Verdict, other: Verdict) -> LawDifference | None:
    name, holds = one.law.name, (one.holds, other.holds)
    if other.broken and not one.broken:
        return LawDifference(name, "broken", holds, tuple(other.broken))
    if one.broken and not other.broken:
        return LawDifference(name, "holds", holds, tuple(one.broken)) if other.holds else None
    known = {broken.problem for broken in one.broken}
    new = tuple(broken for broken in other.broken if broken.problem not in known)
    return LawDifference(name, "otherwise", holds, new) if new else None
