"""Reports of `chattmpl check`: a line for each law, then each finding; and counterexamples as text."""

import json
from collections import Counter
from collections.abc import Iterator

from chattmpl.laws.checker import LawReport, Verdict
from chattmpl.laws.law import REFUSED
from chattmpl.laws.outcome import Counterexample
from chattmpl.laws.root_causes import RootCause
from chattmpl.printable import count, shortened, visible
from chattmpl.report.diagnostics import NOUNS, STYLES
from chattmpl.report.lines import Line, line, plain, versus

_LONGEST_REASON = 160
_LONGEST_CONVERSATION = 2_000
"""Limit of the characters of a conversation, because some conversations cannot be minimized."""


def report_lines(report: LawReport) -> Iterator[Line]:
    """Yield the outcome of each law, the reasons, and the findings."""
    template = report.template
    policy = f", retention {template.retention}" if template.retention else ""
    modes = f", {len(report.modes)} combinations of kwargs" if len(report.modes) > 1 else ""
    yield line((f"{template.name}{policy}: {count(report.conversations, 'conversation')}{modes}", "bold"))
    if report.placeholders:
        names = ", ".join(report.placeholders)
        yield line((f"  placeholders stand for {names}: give --tokenizer, or a tokenizer_config.json", "dim"))
    for verdict in report.verdicts:
        word, rest, style = _summary(report, verdict)
        yield line((f"  {verdict.law.name:<10}  {word:<14}  {rest}".rstrip(), style))
    for reason in _reasons(report):
        yield line((reason, "dim"))
    for finding in report.findings:
        yield line()
        yield from _finding(report, finding)
    if any(finding.severity != "info" for finding in report.findings):
        yield line()
        yield line(("--save FOLDER keeps these conversations as files, for --conversations and for your tests", "dim"))


def _summary(report: LawReport, verdict: Verdict) -> tuple[str, str, str]:
    """Return the outcome of a law, its counts or reason, and a style."""
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
    return word, ", ".join(parts), "red" if graver else ""


def _reasons(report: LawReport) -> Iterator[str]:
    """Yield each reason why laws do not apply, were not evaluated, or are declared to be broken."""
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
        yield f"  {count(number, 'case')}{f' ({named})' if named else ''}: {shortened(why, _LONGEST_REASON)}"


def _reason(counts: Counter[str]) -> str:
    """Return the most frequent reason, shortened."""
    return shortened(counts.most_common(1)[0][0], _LONGEST_REASON) if counts else "there was no conversation"


def _finding(report: LawReport, finding: RootCause) -> Iterator[Line]:
    shown, style = finding.shown, STYLES[finding.severity]
    where = shown.place or report.template.name
    word = NOUNS[finding.severity]
    yield line((f"{where}: {word} {shown.law}: {finding.message}", style))
    if shown.place is not None:
        yield line(shown.place.excerpt())
    elif finding.severity == "info":
        return
    yield from difference_lines(shown)
    yield from map(line, _conversation(shown))
    if shown.hint:
        yield line((f"hint: {shown.hint}", "green"))


def difference_lines(found: Counterexample) -> list[Line]:
    """Return both texts around the first difference, with a caret under it; nothing if there are no two texts."""
    at = found.difference
    if at is None:
        return []
    return versus(("expected", "got"), (found.expected or "", found.got or ""), at)


def counterexample_text(found: Counterexample, name: str) -> str:
    """Return a counterexample as text: the problem, the template line, both texts, the conversation and a hint.

    The name of the template stands for a place that is not known.
    """
    parts = [headline(found, name)]
    if found.place is not None:
        parts.append(found.place.excerpt())
    parts += [*plain(difference_lines(found)).splitlines(), *_conversation(found)]
    if found.hint:
        parts.append(f"hint: {found.hint}")
    return visible("\n".join(parts))


def headline(found: Counterexample, name: str) -> str:
    """Return the first line of `counterexample_text`: place, law and message."""
    return visible(f"{found.place or name}: {found.law}: {found.message}")


def _conversation(found: Counterexample) -> tuple[str, str]:
    """Return the kwargs, and the conversation as JSON with a line for each message, shortened."""
    kwargs = f", with {json.dumps(found.kwargs, ensure_ascii=False)}" if found.kwargs else ""
    dumped = found.conversation.dump()
    messages = [json.dumps(message, ensure_ascii=False) for message in dumped.pop("messages")]
    rest = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in dumped.items()]
    shown = "[" + ",\n   ".join(messages) + "]"
    if rest:
        shown = "{" + ",\n   ".join([*rest, f'"messages": {shown}']) + "}"
    return f"the smallest conversation that shows it{kwargs}:", shortened(f"  {shown}", _LONGEST_CONVERSATION)
