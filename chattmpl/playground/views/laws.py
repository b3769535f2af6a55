"""The view *Laws*: the outcome of each law, with counterexamples that can be loaded into the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.encode import load_tokenizer
from chattmpl.errors import ChatTmplError
from chattmpl.laws import laws_named
from chattmpl.laws.checker import LawReport, Verdict, check
from chattmpl.laws.outcome import Counterexample
from chattmpl.playground.html import code, quoted
from chattmpl.playground.state import State
from chattmpl.playground.views.inputs import conversation_of, kwargs_of, problems_in, template_of
from chattmpl.probing.shapes import shipped_conversations
from chattmpl.report.lines import count

KWARGS = "chat_template_kwargs"

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


@dataclass(frozen=True)
class Row:
    """The outcome of one law.

    Attributes:
        name: the law.
        status: a key of `_STATUS`.
        statement: the statement of the law.
        detail: counts and reasons, as text.
        broken: counterexamples, each with a conversation to load.
    """

    name: str
    status: str
    statement: str
    detail: str
    broken: tuple[dict[str, Any], ...] = ()


def view(state: State) -> dict[str, Any]:
    """Check all laws on the conversation of the state and on the fixtures.

    Raises:
        Failed: if the template or the conversation is invalid.
    """
    template = template_of(state)
    conversation = _with_kwargs(conversation_of(state), kwargs_of(state, template))
    with problems_in("settings"):
        tokenizer = load_tokenizer(state.tokenizer) if state.tokenizer else None
    report = check(template, laws_named(None), [conversation, *shipped_conversations()], tokenizer)
    rows = [_row(verdict, report) for verdict in report.verdicts]
    return {
        "rows": [{"name": row.name, "status": row.status, "broken": list(row.broken)} for row in rows],
        "html": f'<div class="laws">{"".join(map(_html, rows))}</div>',
        "counts": _counts(rows),
    }


def _with_kwargs(conversation: Conversation, kwargs: dict[str, Any]) -> Conversation:
    """Return the conversation with further kwargs."""
    if not kwargs:
        return conversation
    dumped = conversation.dump()
    return Conversation.coerce({**dumped, KWARGS: {**(dumped.get(KWARGS) or {}), **kwargs}})


def _row(verdict: Verdict, report: LawReport) -> Row:
    law = verdict.law
    statement = " ".join((law.__doc__ or "").strip().split("\n\n")[0].split())
    reasons = [f"{why} ({times})" for why, times in verdict.silent.most_common(3)]
    unknown = [f"{why} ({times})" for why, times in verdict.unevaluated.most_common(3)]
    if verdict.broken:
        shown = [_broken(item, report) for item in verdict.broken[:MOST_BROKEN]]
        more = len(verdict.broken) - len(shown)
        ways = count(len(verdict.broken), "way")
        detail = f"holds for {verdict.holds} renders, broken in {ways}" if verdict.holds else ""
        return Row(law.name, "broken", statement, detail + (f"; {more} more" if more > 0 else ""), tuple(shown))
    if verdict.declared:
        why = "; ".join(verdict.declared)
        return Row(law.name, "declared", statement, f"holds for {verdict.holds} renders; {why}")
    if verdict.holds:
        return Row(law.name, "holds", statement, f"for {verdict.holds} renders")
    if verdict.silent:
        return Row(law.name, "silent", statement, "; ".join(reasons))
    return Row(law.name, "unknown", statement, "; ".join(unknown) or "no conversation is relevant to it")


def _broken(found: Counterexample, report: LawReport) -> dict[str, Any]:
    try:
        excerpts = found.excerpts() or ()
    except ChatTmplError:
        excerpts = ()
    conversation = found.conversation.dump()
    if found.kwargs:
        conversation[KWARGS] = {**(conversation.get(KWARGS) or {}), **found.kwargs}
    own = found.place is not None and found.place.source.name == report.template.program.source.name
    return {
        "message": found.message,
        "hint": found.hint or "",
        "line": found.place.line if found.place is not None and own else None,
        "excerpts": list(excerpts),
        "kwargs": found.kwargs,
        "conversation": json.dumps(conversation, ensure_ascii=False, indent=2),
    }


def _html(row: Row) -> str:
    detail = f'<p class="detail">{quoted(row.detail)}</p>' if row.detail else ""
    broken = "".join(_counterexample(item, f"{row.name}:{index}") for index, item in enumerate(row.broken))
    return (
        f'<section class="lawrow {row.status}"><h3>{code(row.name)}</h3>'
        f'<span class="status">{_STATUS[row.status][0]}</span>'
        f'<div class="about"><p>{quoted(row.statement)}</p>{detail}</div>{broken}</section>'
    )


def _counterexample(item: dict[str, Any], key: str) -> str:
    line = f' <span class="at">template line {item["line"]}</span>' if item["line"] else ""
    kwargs = f"<p>with {code(json.dumps(item['kwargs'], ensure_ascii=False))}</p>" if item["kwargs"] else ""
    hint = f'<p class="hint">{quoted(item["hint"])}</p>' if item["hint"] else ""
    texts = "\n".join(item["excerpts"])
    shown = f'<pre tabindex="0">{quoted(texts)}</pre>' if texts else ""
    load = f'<button class="button small" type="button" data-act="load:{quoted(key)}">Load this conversation</button>'
    return (
        f'<div class="counterexample"><p><strong>{quoted(item["message"])}</strong>{line}</p>'
        f"{kwargs}{shown}{hint}{load}</div>"
    )


def _counts(rows: list[Row]) -> str:
    found = [(sum(row.status == status for row in rows), words[1]) for status, words in _STATUS.items()]
    return " · ".join(f"{number} {words}" for number, words in found if number)
