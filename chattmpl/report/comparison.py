"""Reports of `chattmpl diff` and `chattmpl engines`, as lines and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from chattmpl.compare.portability import EngineFinding, EngineReport
from chattmpl.compare.template_diff import SIDES, ChangeGroup, Difference, Hunk, LawDifference
from chattmpl.engine import Missing
from chattmpl.printable import count, dumps, names, one_line, shortened
from chattmpl.report.lines import Line, excerpt, line, versus
from chattmpl.template.template import Template

_AROUND = 20
_LONGEST = 60
_REFERENCE = "Jinja2"

_HEADS = {"text": "the text changes", "refused": "B refuses what A renders", "accepted": "B renders what A refuses"}


def diff_lines(found: Difference, conversations: int) -> Iterator[Line]:
    """Yield the two templates, the changes by cause, and the laws that change."""
    yield line(("A ", "bold red"), _template(found.before))
    yield line(("B ", "bold green"), _template(found.after))
    changed = len(found.changed)
    head = f"{changed} of {count(conversations, 'conversation')} render differently" if changed else "nothing changes"
    yield line((head, "bold"), f" ({count(found.renders, 'render')}, {count(len(found.groups), 'cause')})")
    if changed:
        yield line(_counts(found))
    for number, group in enumerate(found.groups, 1):
        yield line()
        yield from _group(number, group)
    if found.laws:
        yield line()
        yield line(("laws", "bold"))
    for law in found.laws:
        yield from _law(law)


def _template(template: Template) -> str:
    return template.name + (f", retention {template.retention}" if template.retention else "")


def _counts(found: Difference) -> str:
    old, new = found.counts.generated
    parts = f"generated characters: {old:,} → {new:,}"
    if found.counts.trained is not None:
        parts += f"; trained tokens: {found.counts.trained[0]:,} → {found.counts.trained[1]:,}"
    return parts


def _group(number: int, group: ChangeGroup) -> Iterator[Line]:
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
    elif len(variants) == 1:
        yield line("   only without generation prompt and kwargs")
    if group.hunk is None:
        yield line("   ", ("A: " if group.change == "accepted" else "B: ") + one_line(group.error or ""))
        return
    yield from _texts(group.hunk)
    for label, side in zip("AB", SIDES, strict=True):
        place = group.hunk.place(side)
        if place is not None:
            yield line(f"   {label} line {place.line}:")
            yield excerpt(place, "  ")[0]


def _texts(hunk: Hunk) -> Iterator[Line]:
    if hunk.kind == "mask":
        sides = [("", hunk.before.text, hunk.old, "green" if hunk.gained else "red")]
    else:
        sides = [("- ", hunk.before.text, hunk.old, "red"), ("+ ", hunk.after.text, hunk.new, "green")]
    for sign, text, span, style in sides:
        head, middle, tail = _window(text, *span)
        yield line("   ", (sign, style), head, (middle, style), tail)
        yield line("   ", " " * (len(sign) + len(head)), ("^" * max(1, len(middle)), "bold yellow"))


def _window(text: str, start: int, end: int) -> tuple[str, str, str]:
    """Return a stretch of text and its surroundings, each shortened and on one line."""
    head = ("…" if start > _AROUND else "") + one_line(text[max(0, start - _AROUND) : start])
    middle = one_line(text[start:end])
    if len(middle) > _LONGEST:
        middle = f"{middle[: _LONGEST - 10]}…{middle[-9:]}"
    room = max(0, _AROUND - max(0, len(middle) - _AROUND))
    return head, middle, one_line(text[end : end + room]) + ("…" if end + room < len(text) else "")


def _law(law: LawDifference) -> Iterator[Line]:
    before, after = law.holds
    words = {
        "broken": (f"{f'holds for {before}' if before else 'does not apply'} → broken", "bold red"),
        "holds": (f"broken → holds for {after}", "bold green"),
        "otherwise": ("broken in another way", "bold yellow"),
    }
    yield line("  ", (f"{law.law:<11}", "bold"), words[law.change], f" ({count(len(law.counterexamples), 'way')})")
    for broken in law.counterexamples:
        where = f" ({broken.place.source.name}:{broken.place.line})" if broken.place else ""
        yield line("    ", one_line(broken.message), where)


def diff_json(found: Difference) -> str:
    """Return one object: ``before``, ``after``, ``renders``, ``changed``, ``groups`` and ``laws``."""
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


def _group_record(group: ChangeGroup) -> dict[str, Any]:
    made: dict[str, Any] = {"change": group.change, "cases": [case.to_dict() for case in group.cases]}
    if group.hunk is None:
        return {**made, "error": group.error}
    renderings, spans = (group.hunk.before, group.hunk.after), (group.hunk.old, group.hunk.new)
    for side, rendering, span in zip(SIDES, renderings, spans, strict=True):
        place = group.hunk.place(side)
        made[side] = {
            "text": rendering.text[slice(*span)],
            "start": span[0],
            "end": span[1],
            "line": None if place is None else place.line,
        }
    return made


def engines_lines(name: str, cases: int, found: Sequence[EngineReport | Missing]) -> Iterator[Line]:
    """Yield a summary of each engine, and each cause with its construct."""
    yield line((name, "bold"), f": {count(cases, 'render')} compared with {_REFERENCE} as set up by transformers")
    width = max(len(_engine(item)) for item in found)
    for item in found:
        yield line("  ", (_engine(item).ljust(width), "bold"), "  ", *_summary(item))
    for item in found:
        if isinstance(item, EngineReport):
            for alike in _alike(item.findings):
                yield line()
                yield from _finding(item, *alike)
            if item.hosted:
                yield line()
                yield line((f"{item.engine}: its own tojson", "bold yellow"), f" ({count(item.hosted, 'render')})")
                yield line("  differs: it escapes <, >, & and '. Hosts that replace it, such as mistral.rs, agree.")
            for bug, number in item.declared.items():
                yield line()
                yield line((f"{item.engine}: declared by the family", "bold cyan"), f" ({count(number, 'render')})")
                yield line("  ", bug.what)


def _alike(findings: Sequence[EngineFinding]) -> list[list[EngineFinding]]:
    """Group the findings that differ only in their places."""
    groups: dict[tuple[str, str], list[EngineFinding]] = {}
    for finding in findings:
        groups.setdefault((finding.cause.code, finding.cause.message), []).append(finding)
    return list(groups.values())


def _engine(item: EngineReport | Missing) -> str:
    if isinstance(item, Missing):
        return item.name
    return item.engine + (f" {item.version}" if item.version else "") + (" (emulated)" if item.emulated else "")


def _summary(item: EngineReport | Missing) -> list[str | tuple[str, str]]:
    if isinstance(item, Missing):
        return [("not compared", "yellow"), f": {item.why}; {item.hint}"]
    parts: list[str | tuple[str, str]] = []
    if item.disagreed:
        causes = count(len(item.findings), "cause")
        parts.append((f"differs in {item.disagreed} of {item.disagreed + item.agreed}, {causes}", "red"))
    elif item.agreed:
        parts.append((f"agrees in all {item.agreed}", "green"))
    if item.declared:
        parts.append(f"{', ' if parts else ''}{count(len(item.declared), 'declared bug')}")
    for why, number in _skipped(item):
        parts.append(f"{', ' if parts else ''}{number} not compared: {why}")
    return parts


def _skipped(report: EngineReport) -> list[tuple[str, int]]:
    """Return the reasons why cases were not compared, each with the number of cases."""
    reasons = [] if report.overrun is None else [(report.overrun.message, 1)]
    return [*reasons, ("the template exceeded its budget before", report.skipped)] if report.skipped else reasons


def _finding(report: EngineReport, finding: EngineFinding, *others: EngineFinding) -> Iterator[Line]:
    cause = finding.cause
    style = "bold red" if cause.confirmed else "bold yellow"
    sure = "" if cause.confirmed else " (likely)"
    yield line((str(cause.place), "bold"), ": ", (f"{report.engine} {cause.code}{sure}", style), f": {cause.message}")
    yield from excerpt(cause.place, "")
    first = finding.cases[0]
    which = first.name + (f" ({first.variant})" if first.variant else "")
    rest = names(case.name for case in finding.cases if case.name != first.name)
    yield line(f"  in {count(len(finding.cases), 'render')}: {which}{f', {rest}' if rest else ''}")
    at = finding.difference
    if at is not None:
        yield from versus((_REFERENCE, report.engine), (finding.expected.text or "", finding.got.text or ""), at)
    else:
        for label, outcome in ((_REFERENCE, finding.expected), (report.engine, finding.got)):
            error = shortened(one_line(outcome.error or ""), 120)
            shown = "renders it" if outcome.text is not None else f"refuses: {error}"
            yield line("  ", (label.ljust(len(report.engine)), "dim"), f"  {shown}")
    for other in others:
        place = other.cause.place
        yield line(f"  also at {place.line}:{place.column}, in {count(len(other.cases), 'render')}")
        yield from excerpt(place, "  ")
    yield line(("  hint: ", "green"), cause.hint)


def engines_json(name: str, cases: int, found: Sequence[EngineReport | Missing]) -> str:
    """Return one object: ``template``, ``renders`` and ``engines``."""
    return dumps({"template": name, "renders": cases, "engines": [_record(item) for item in found]}, indent=2) + "\n"


def _record(item: EngineReport | Missing) -> dict[str, Any]:
    if isinstance(item, Missing):
        return {"engine": item.name, "compared": False, "why": item.why, "hint": item.hint}
    return {
        "engine": item.engine,
        "compared": True,
        "version": item.version,
        "emulated": item.emulated,
        "agreed": item.agreed,
        "disagreed": item.disagreed,
        "hosted": item.hosted,
        "declared": [{"what": bug.what, "renders": number} for bug, number in item.declared.items()],
        "skipped": [{"why": why, "renders": number} for why, number in _skipped(item)],
        "findings": [_finding_record(finding) for finding in item.findings],
    }


def _finding_record(finding: EngineFinding) -> dict[str, Any]:
    place = finding.cause.place
    return {
        "code": finding.cause.code,
        "message": finding.cause.message,
        "hint": finding.cause.hint,
        "confirmed": finding.cause.confirmed,
        "file": place.source.name,
        "line": place.line,
        "column": place.column,
        "construct": place.source.text[place.start : place.end],
        "cases": [case.to_dict() for case in finding.cases],
        "expected": finding.expected.text,
        "expected_error": finding.expected.error,
        "got": finding.got.text,
        "got_error": finding.got.error,
        "difference": finding.difference,
    }
