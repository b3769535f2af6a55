"""What `chattmpl engines` found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chattmpl.compare.portability import Finding, Report
from chattmpl.engines.available import ENGINES, Missing
from chattmpl.printable import dumps, one_line
from chattmpl.report.lines import Line, count, excerpt, line, names, versus

_REFERENCE = "Jinja2"


def engines_lines(name: str, cases: int, found: Sequence[Report | Missing]) -> Iterator[Line]:
    """A summary of each engine, and each cause with its construct."""
    yield line((name, "bold"), f": {count(cases, 'render')} compared with {_REFERENCE}, as transformers sets it up")
    width = max(len(_name(item)) for item in found)
    for item in found:
        yield line("  ", (_name(item).ljust(width), "bold"), "  ", *_summary(item))
    for item in found:
        if isinstance(item, Report):
            for alike in _alike(item.findings):
                yield line()
                yield from _finding(item, *alike)
            for what, number in item.declared.items():
                yield line()
                yield line((f"{item.engine}: declared by the family", "bold cyan"), f" ({count(number, 'render')})")
                yield line("  ", what)


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings that differ in nothing but the place, together."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.cause.code, finding.cause.message), []).append(finding)
    return list(groups.values())


def _name(item: Report | Missing) -> str:
    if isinstance(item, Missing):
        return item.name
    return item.engine + (f" {item.version}" if item.version else "") + (" (emulated)" if item.emulated else "")


def _summary(item: Report | Missing) -> list[str | tuple[str, str]]:
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
    for why, number in item.skipped.items():
        parts.append(f"{', ' if parts else ''}{number} not compared: {why}")
    return parts


def _finding(report: Report, finding: Finding, *others: Finding) -> Iterator[Line]:
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
            said = "renders it" if outcome.text is not None else f"refuses: {_words(outcome.error or '')}"
            yield line("  ", (label.ljust(len(report.engine)), "dim"), f"  {said}")
    for other in others:
        place = other.cause.place
        yield line(f"  also at {place.line}:{place.column}, in {count(len(other.cases), 'render')}")
        yield from excerpt(place, "  ")
    yield line(("  hint: ", "green"), cause.hint)


def _words(error: str) -> str:
    error = one_line(error)
    error = error.removeprefix(f"{error.partition(': ')[0]}: ") if error.partition(": ")[0] in ENGINES else error
    return error if len(error) <= 120 else f"{error[:119]}…"


def engines_json(name: str, cases: int, found: Sequence[Report | Missing]) -> str:
    """One object: ``template``, ``renders`` and ``engines``; see docs/comparing.md."""
    return dumps({"template": name, "renders": cases, "engines": [_record(item) for item in found]}, indent=2) + "\n"


def _record(item: Report | Missing) -> dict[str, Any]:
    if isinstance(item, Missing):
        return {"engine": item.name, "compared": False, "why": item.why, "hint": item.hint}
    return {
        "engine": item.engine,
        "compared": True,
        "version": item.version,
        "emulated": item.emulated,
        "agreed": item.agreed,
        "disagreed": item.disagreed,
        "declared": [{"what": what, "renders": number} for what, number in item.declared.items()],
        "skipped": [{"why": why, "renders": number} for why, number in item.skipped.items()],
        "findings": [_finding_record(finding) for finding in item.findings],
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
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
