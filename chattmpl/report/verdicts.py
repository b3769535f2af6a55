"""The report of check for people: a table of the laws, then each root cause with place, texts and conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from io import StringIO

from chattmpl.laws.checker import LawReport, Verdict
from chattmpl.laws.law import REFUSED
from chattmpl.laws.outcome import Counterexample
from chattmpl.laws.root_causes import RootCause
from chattmpl.printable import visible
from chattmpl.report.counterexample import conversation_text
from chattmpl.report.lines import count
from chattmpl.source import Place, Source

_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_NOTES = {"info": "note"}


def text(report: LawReport) -> str:
    """Return the report without colors."""
    return visible("".join(f"{line}\n" for line, _ in _lines(report)))


def rich(report: LawReport) -> str:
    """Return the report with the colors of the terminal."""
    from rich.text import Text

    from chattmpl.report.terminal import console

    out = console(StringIO())
    with out.capture() as capture:
        for line, style in _lines(report):
            out.print(Text(visible(line), style=style or ""), soft_wrap=True)
    drawn: str = capture.get()
    return drawn


def _lines(report: LawReport) -> Iterator[tuple[str, str | None]]:
    """Yield the lines of the report, each with a style."""
    template = report.template
    policy = f", retention {template.retention}" if template.retention else ""
    modes = f", {len(report.modes)} combinations of kwargs" if len(report.modes) > 1 else ""
    yield f"{template.name}{policy}: {count(report.conversations, 'conversation')}{modes}", "bold"
    for verdict in report.verdicts:
        word, rest, style = _summary(report, verdict)
        yield f"  {verdict.law.name:<10}  {word:<14}  {rest}".rstrip(), style
    yield from ((line, "dim") for line in _reasons(report))
    for finding in report.findings:
        yield "", None
        yield from _finding(report, finding)
    if any(finding.severity != "info" for finding in report.findings):
        yield "", None
        yield "--save FOLDER keeps these conversations as files, for --conversations and for your tests", "dim"


def _summary(report: LawReport, verdict: Verdict) -> tuple[str, str, str | None]:
    """Return the word for a law, the rest of its line, and a style."""
    own = [finding for finding in report.findings if verdict.law.name in finding.laws]
    graver = [finding for finding in own if finding.severity != "info"]
    if not verdict.evaluated:
        word = "not evaluated" if verdict.unevaluated or not verdict.silent else "does not apply"
        return word, _reason(verdict.unevaluated or verdict.silent), "dim"
    parts = [count(len(own), "finding" if graver else "note")] if own else []
    counts = (
        (verdict.holds, "holds for"),
        (verdict.declared.total(), "declared for"),
        (verdict.silent.total(), "does not apply to"),
        (verdict.unevaluated.total(), "not evaluated for"),
    )
    parts += [f"{words} {number}" for number, words in counts if number]
    word = "broken" if graver else "holds" if verdict.holds else "declared"
    return word, ", ".join(parts), "red" if graver else None


def _reasons(report: LawReport) -> Iterator[str]:
    """Yield the reasons why laws do not apply, are not evaluated or are declared to be broken, each once."""
    reasons: dict[str, tuple[int, list[str]]] = {}
    for verdict in report.verdicts:
        if verdict.evaluated:
            for counts, words in ((verdict.silent, ""), (verdict.unevaluated, ""), (verdict.declared, "declared: ")):
                for why, number in counts.items():
                    most, laws = reasons.get(words + why, (0, []))
                    reasons[words + why] = (max(most, number), [*laws, verdict.law.name])
    for why, (number, laws) in reasons.items():
        named = "all laws" if len(laws) == len(report.verdicts) else ", ".join(dict.fromkeys(laws))
        if why.startswith(REFUSED):
            named = ""
        yield f"  {number}{f' ({named})' if named else ''}: {_short(why)}"


def _reason(counts: Counter[str]) -> str:
    """Return the most frequent reason, shortened."""
    return _short(counts.most_common(1)[0][0]) if counts else "there was no conversation"


def _short(why: str) -> str:
    return why if len(why) <= 160 else f"{why[:159]}…"


def _finding(report: LawReport, finding: RootCause) -> Iterator[tuple[str, str | None]]:
    shown, style = finding.shown, _STYLES[finding.severity]
    where = shown.place or report.template.name
    word = _NOTES.get(finding.severity, finding.severity)
    yield f"{where}: {word} {shown.law}: {finding.message}", style
    if shown.place is not None:
        yield shown.place.excerpt(), None
    elif finding.severity == "info":
        return
    yield from ((excerpt, "dim") for excerpt in _excerpts(shown))
    yield from ((line, None) for line in conversation_text(shown))
    if shown.hint:
        yield f"hint: {shown.hint}", "green"


def _excerpts(found: Counterexample) -> Iterator[str]:
    """Yield both texts around the first difference, each with a caret, with visible newlines."""
    at = found.difference
    if at is None:
        return
    for name, whole in (("expected", found.expected or ""), ("got", found.got or "")):
        shown = whole[: at + 200].replace("\n", "↵")
        # The excerpt is cut around the place, and an end of the text is a place too.
        excerpt = Place(Source(f"{shown} ", name), min(at, len(shown)), min(at, len(shown)) + 1).excerpt()
        line, _, caret = excerpt.partition("\n")
        yield f"{name:>8} | {line[7:]}\n{'':>8} |{caret[6:]}"
