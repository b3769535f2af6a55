"""The view *Laws*: the outcome of each law, with counterexamples that can be loaded into the page."""

import json
from typing import Any

from chattmpl.encode import load_tokenizer
from chattmpl.laws import laws_named
from chattmpl.laws.checker import LawReport, Verdict, check
from chattmpl.laws.outcome import Counterexample
from chattmpl.playground.html import code, quoted
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import conversation_of, kwargs_of, problems_in, template_of
from chattmpl.printable import count
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.report.laws import difference_lines
from chattmpl.report.lines import plain

MOST_BROKEN = 3
"""Limit of the counterexamples that are shown for one law."""

_STATUS = {
    "holds": ("holds", "hold"),
    "broken": ("broken", "broken"),
    "declared": ("broken, as declared", "broken as declared"),
    "silent": ("does not apply", "do not apply"),
    "unknown": ("not evaluated", "not evaluated"),
}
"""The words for each status: of one law, and of a number of laws."""


LawRow = dict[str, Any]
"""The outcome of a law: ``name``, ``status`` (a key of `_STATUS`), ``statement``, ``detail`` and ``broken``."""


def view(state: State) -> dict[str, Any]:
    """Check all laws on the conversation of the state and on the fixtures.

    Raises:
        Failed: if the template or the conversation is invalid.
    """
    template = template_of(state)
    conversation = conversation_of(state).with_kwargs(kwargs_of(state, template))
    with problems_in("settings"):
        tokenizer = load_tokenizer(state.tokenizer) if state.tokenizer else None
    report = check(template, laws_named(None), [conversation, *shipped_conversations()], tokenizer)
    rows = [_row(verdict, report) for verdict in report.verdicts]
    return {"rows": rows, "html": f'<div class="laws">{"".join(map(_html, rows))}</div>', "counts": _counts(rows)}


def _row(verdict: Verdict, report: LawReport) -> LawRow:
    shown = [_broken(item, report) for item in verdict.broken[:MOST_BROKEN]]
    status, detail = _outcome(verdict)
    statement = " ".join((verdict.law.__doc__ or "").strip().split("\n\n")[0].split())
    return {"name": verdict.law.name, "status": status, "statement": statement, "detail": detail, "broken": shown}


def _outcome(verdict: Verdict) -> tuple[str, str]:
    """Return the status of a law, and counts or reasons."""
    if verdict.broken:
        more = len(verdict.broken) - MOST_BROKEN
        ways = count(len(verdict.broken), "way")
        detail = f"holds for {verdict.holds} renders, broken in {ways}" if verdict.holds else ""
        return "broken", detail + (f"; {more} more" if more > 0 else "")
    if verdict.declared:
        return "declared", f"holds for {verdict.holds} renders; {'; '.join(verdict.declared)}"
    if verdict.holds:
        return "holds", f"for {verdict.holds} renders"
    reasons = verdict.silent or verdict.unevaluated
    listed = "; ".join(f"{why} ({times})" for why, times in reasons.most_common(3))
    return "silent" if verdict.silent else "unknown", listed or "no conversation is relevant to it"


def _broken(found: Counterexample, report: LawReport) -> dict[str, Any]:
    conversation = found.conversation.with_kwargs(found.kwargs).dump()
    own = found.place is not None and found.place.source.name == report.template.program.source.name
    return {
        "message": found.message,
        "hint": found.hint or "",
        "line": found.place.line if found.place is not None and own else None,
        "difference": plain(difference_lines(found)),
        "kwargs": found.kwargs,
        "conversation": json.dumps(conversation, ensure_ascii=False, indent=2),
    }


def _html(row: LawRow) -> str:
    detail = f'<p class="detail">{quoted(row["detail"])}</p>' if row["detail"] else ""
    broken = "".join(_counterexample(item, f"{row['name']}:{index}") for index, item in enumerate(row["broken"]))
    return (
        f'<section class="lawrow {row["status"]}"><h3>{code(row["name"])}</h3>'
        f'<span class="status">{_STATUS[row["status"]][0]}</span>'
        f'<div class="about"><p>{quoted(row["statement"])}</p>{detail}</div>{broken}</section>'
    )


def _counterexample(item: dict[str, Any], key: str) -> str:
    line = f' <span class="at">template line {item["line"]}</span>' if item["line"] else ""
    kwargs = f"<p>with {code(json.dumps(item['kwargs'], ensure_ascii=False))}</p>" if item["kwargs"] else ""
    hint = f'<p class="hint">{quoted(item["hint"])}</p>' if item["hint"] else ""
    shown = f'<pre tabindex="0">{quoted(item["difference"])}</pre>' if item["difference"] else ""
    load = f'<button class="button small" type="button" data-act="load:{quoted(key)}">Load this conversation</button>'
    return (
        f'<div class="counterexample"><p><strong>{quoted(item["message"])}</strong>{line}</p>'
        f"{kwargs}{shown}{hint}{load}</div>"
    )


def _counts(rows: list[LawRow]) -> str:
    found = [(sum(row["status"] == status for row in rows), words[1]) for status, words in _STATUS.items()]
    return " · ".join(f"{number} {words}" for number, words in found if number)
