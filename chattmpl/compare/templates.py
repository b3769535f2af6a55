"""Two templates: which conversations they render differently, with what generated, and which laws change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chattmpl.compare.cases import Case
from chattmpl.compare.hunks import Hunk, hunks
from chattmpl.conversation.models import Conversation
from chattmpl.encode import encode
from chattmpl.errors import ChatTmplError
from chattmpl.laws import laws_named
from chattmpl.laws.checker import Verdict, check
from chattmpl.laws.outcome import Counterexample
from chattmpl.probing.corpus import CLOCK
from chattmpl.template.template import Rendering, Template

Change = Literal["text", "mask", "refused", "accepted"]
LawChange = Literal["broken", "holds", "otherwise"]


@dataclass
class Group:
    """Changes with one cause.

    Attributes:
        change: of what; ``refused`` and ``accepted`` say that only the first or only the second template renders it.
        cases: in which it shows.
        hunk: the change in the first of them; None where one template refuses.
        error: what that template says.
    """

    change: Change
    cases: list[Case] = field(default_factory=list)
    hunk: Hunk | None = None
    error: str | None = None


@dataclass(frozen=True)
class LawDifference:
    """A law that holds for one template and not for the other, or is broken in another way.

    Attributes:
        law: its name.
        change: what it is with the second template: ``broken``, ``holds``, or broken ``otherwise``.
        holds: for how many cases it held, before and after.
        counterexamples: of the template that breaks it; with ``otherwise`` those that are new.
    """

    law: str
    change: LawChange
    holds: tuple[int, int]
    counterexamples: tuple[Counterexample, ...]


@dataclass
class Counts:
    """Characters that are generated, and with a tokenizer tokens that are trained, in all cases that both render."""

    generated: tuple[int, int] = (0, 0)
    trained: tuple[int, int] | None = None


@dataclass
class Difference:
    """What changes from one template to another.

    Attributes:
        before, after: the templates.
        renders: how many cases there are.
        changed: names of the conversations of which something changes.
        groups: the changes, by cause.
        laws: the laws that change.
        counts: how much is generated.
    """

    before: Template
    after: Template
    renders: int = 0
    changed: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    laws: list[LawDifference] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self.groups and not self.laws


def diff(before: Template, after: Template, cases: Iterable[Case], tokenizer: Any = None) -> Difference:
    """Compare what two templates make of the same cases.

    Args:
        before: the first.
        after: the second.
        cases: what is rendered with each, kwargs that a template does not read left out.
        tokenizer: counts trained tokens.
    """
    found = Difference(before, after)
    groups: dict[tuple[Any, ...], Group] = {}
    for case in cases:
        found.renders += 1
        one, other = _rendered(before, case), _rendered(after, case)
        keys: dict[tuple[Any, ...], Group] = {}
        if isinstance(one, Rendering) and isinstance(other, Rendering):
            _count(found.counts, one, other, tokenizer)
            for hunk in hunks(one, other):
                keys.setdefault(hunk.key, Group(hunk.kind, hunk=hunk))
        elif isinstance(other, ChatTmplError) and isinstance(one, Rendering):
            keys["refused", _without_numbers(other.cause)] = Group("refused", error=other.message)
        elif isinstance(one, ChatTmplError) and isinstance(other, Rendering):
            keys["accepted", _without_numbers(one.cause)] = Group("accepted", error=one.message)
        for key, group in keys.items():
            groups.setdefault(key, group).cases.append(case)
        if keys and case.name not in found.changed:
            found.changed.append(case.name)
    found.groups = sorted(groups.values(), key=lambda group: -len(group.cases))
    return found


def _rendered(template: Template, case: Case) -> Rendering | ChatTmplError:
    read = template.program.variables
    kwargs = {name: value for name, value in case.kwargs.items() if name in read}
    try:
        return template.render(case.conversation, case.prompt, CLOCK, **kwargs)
    except ChatTmplError as error:
        return error


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
    """The laws that hold for one template and not for the other, or that are broken in new ways."""
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
