"""What `chattmpl diff` found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chattmpl.compare.hunks import Hunk
from chattmpl.compare.templates import Difference, Group, LawDifference
from chattmpl.printable import dumps, one_line
from chattmpl.report.lines import Line, count, excerpt, line, names
from chattmpl.template.template import Template

_AROUND = 20
_LONGEST = 60

_HEADS = {
    "text": "the text changes",
    "refused": "B refuses what A renders",
    "accepted": "B renders what A refuses",
}


def difference_lines(found: Difference, conversations: int) -> Iterator[Line]:
    """The two templates, the changes by cause, and the laws."""
    yield line(("A ", "bold red"), _name(found.before))
    yield line(("B ", "bold green"), _name(found.after))
    changed = len(found.changed)
    head = f"{changed} of {count(conversations, 'conversation')} render differently" if changed else "nothing changes"
    yield line((head, "bold"), f" ({count(found.renders, 'render')}, {_verb(found.groups)})")
    if changed:
        yield from _counts(found)
    for number, group in enumerate(found.groups, 1):
        yield line()
        yield from _group(number, group)
    if found.laws:
        yield line()
        yield line(("laws", "bold"))
    for law in found.laws:
        yield from _law(law)


def _name(template: Template) -> str:
    return template.name + (f", retention {template.retention}" if template.retention else "")


def _verb(groups: list[Group]) -> str:
    return count(len(groups), "cause")


def _counts(found: Difference) -> Iterator[Line]:
    old, new = found.counts.generated
    parts = f"generated characters: {old:,} → {new:,}"
    if found.counts.trained is not None:
        parts += f"; trained tokens: {found.counts.trained[0]:,} → {found.counts.trained[1]:,}"
    yield line(parts)


def _group(number: int, group: Group) -> Iterator[Line]:
    renders = count(len(group.cases), "render")
    if group.hunk is not None and group.hunk.kind == "mask":
        what = "the mask changes: " + ("generated in B, not in A" if group.hunk.gained else "generated in A, not in B")
    else:
        what = _HEADS[group.change]
    conversations = dict.fromkeys(case.name for case in group.cases)
    yield line((f"{number}. {what}", "bold"), f", in {renders} of {count(len(conversations), 'conversation')}")
    yield line("   ", names(conversations, 6))
    variants = dict.fromkeys(case.variant for case in group.cases)
    if "" not in variants:
        yield line(f"   only with {' or '.join(variants)}" if len(variants) < 4 else "   only with kwargs")
    elif len(variants) == 1 and len(group.cases) > 0:
        yield line("   only without generation prompt and kwargs")
    if group.hunk is None:
        yield line("   ", ("A: " if group.change == "accepted" else "B: ") + one_line(group.error or ""))
        return
    yield from _texts(group.hunk)
    yield from _places(group.hunk)


def _texts(hunk: Hunk) -> Iterator[Line]:
    if hunk.kind == "mask":
        head, middle, tail = _window(hunk.before.text, *hunk.old)
        yield line("   ", head, (middle, "green" if hunk.gained else "red"), tail)
        yield line("   ", " " * len(head), ("^" * max(1, len(middle)), "bold yellow"))
        return
    for sign, text, span, style in (
        ("-", hunk.before.text, hunk.old, "red"),
        ("+", hunk.after.text, hunk.new, "green"),
    ):
        head, middle, tail = _window(text, *span)
        yield line("   ", (f"{sign} ", style), head, (middle, style), tail)
        yield line("     ", " " * len(head), ("^" * max(1, len(middle)), "bold yellow"))


def _window(text: str, start: int, end: int) -> tuple[str, str, str]:
    """A stretch of text with what stands around it, each on one line and not too long."""
    head = ("…" if start > _AROUND else "") + one_line(text[max(0, start - _AROUND) : start])
    middle = one_line(text[start:end])
    if len(middle) > _LONGEST:
        middle = f"{middle[: _LONGEST - 10]}…{middle[-9:]}"
    room = max(0, _AROUND - max(0, len(middle) - _AROUND))
    return head, middle, one_line(text[end : end + room]) + ("…" if end + room < len(text) else "")


def _places(hunk: Hunk) -> Iterator[Line]:
    for label, side in (("A", "before"), ("B", "after")):
        place = hunk.place(side)  # type: ignore[arg-type]
        if place is not None:
            yield line(f"   {label} line {place.line}:")
            yield excerpt(place, "  ")[0]


def _law(law: LawDifference) -> Iterator[Line]:
    before, after = law.holds
    words = {
        "broken": (f"{f'holds for {before}' if before else 'does not apply'} → broken", "bold red"),
        "holds": (f"broken → holds for {after}", "bold green"),
        "otherwise": ("broken in another way", "bold yellow"),
    }
    ways = count(len(law.counterexamples), "way")
    yield line("  ", (f"{law.law:<11}", "bold"), words[law.change], f" ({ways})")
    for broken in law.counterexamples:
        where = f" ({broken.place.source.name}:{broken.place.line})" if broken.place else ""
        yield line("    ", one_line(broken.message), where)


def difference_json(found: Difference) -> str:
    """One object: ``before``, ``after``, ``renders``, ``changed``, ``groups``, ``laws``; see docs/comparing.md."""
    counts: dict[str, Any] = {"generated": list(found.counts.generated)}
    if found.counts.trained is not None:
        counts["trained"] = list(found.counts.trained)
    made = {
        "before": found.before.name,
        "after": found.after.name,
        "renders": found.renders,
        "changed": found.changed,
        **counts,
        "groups": [_group_record(group) for group in found.groups],
        "laws": [
            {
                "law": law.law,
                "change": law.change,
                "holds": list(law.holds),
                "counterexamples": [broken.to_dict() for broken in law.counterexamples],
            }
            for law in found.laws
        ],
    }
    return dumps(made, indent=2) + "\n"


def _group_record(group: Group) -> dict[str, Any]:
    made: dict[str, Any] = {"change": group.change, "cases": [case.to_dict() for case in group.cases]}
    if group.hunk is None:
        return {**made, "error": group.error}
    for name, side, rendering, span in (
        ("before", "before", group.hunk.before, group.hunk.old),
        ("after", "after", group.hunk.after, group.hunk.new),
    ):
        place = group.hunk.place(side)  # type: ignore[arg-type]
        made[name] = {
            "text": rendering.text[slice(*span)],
            "start": span[0],
            "end": span[1],
            "line": None if place is None else place.line,
        }
    return made
