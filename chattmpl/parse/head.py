"""Heads: what stands before the first turn, found by rendering a conversation that is known, and a look at the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chattmpl.errors import RenderError
from chattmpl.parse.grammar import Grammar
from chattmpl.parse.refusal import Refusal, common, differs
from chattmpl.parse.turns import follows

SYSTEM, USER = "zqSYSTEMqz", "zqUSERqz"
"""Texts that no template changes, and that no text holds."""

_HINT = "tools, documents, clock and template kwargs must be those that the text was rendered with"

Probe = Callable[[list[dict[str, Any]]], str]


@dataclass(frozen=True)
class Head:
    """The system message, if there is one in it, where it ends, and whether that is in the first user's content."""

    system: str | None
    end: int
    in_user: bool


@dataclass(frozen=True)
class _Known:
    """A head as rendered: what is before and behind the system message, and whether a user's turn is open then."""

    before: str
    behind: str
    in_user: bool


def heads(grammar: Grammar, text: str, probe: Probe) -> Iterator[Head]:
    """The heads that the text may have, first that without a system message.

    Raises:
        Refusal: the text begins as no rendering does.
    """
    unread: Refusal | None = None
    found_any = False
    alone = _known(grammar, probe, [{"role": "user", "content": USER}])
    if alone is not None and text.startswith(alone.before):
        end = len(alone.before)
        if alone.in_user or follows(grammar, text, end):
            found_any = True
            yield Head(None, end, alone.in_user)
        else:
            unread = Refusal("no turn begins here", end)
    known = [] if alone is None else [alone.before]
    for form in ("${system}", *grammar.facts.system_forms):
        system = {"role": "system", "content": form.replace("${system}", SYSTEM)}
        found = _known(grammar, probe, [system, {"role": "user", "content": USER}])
        if found is None:
            continue
        known.append(found.before)
        if text.startswith(found.before):
            head = _with_system(grammar, text, found)
            if isinstance(head, Head) and form != "${system}" and _is_plain(head.system or "", found.before, known):
                continue
            if isinstance(head, Head):
                found_any = True
                yield replace(head, system=form.replace("${system}", head.system or ""))
            else:
                unread = head if unread is None or head.start > unread.start else unread
    if not found_any:
        unread = _nearest(text, known, unread)
    if unread is not None:
        raise unread


def _nearest(text: str, known: list[str], unread: Refusal | None) -> Refusal | None:
    """The refusal that is furthest in the text: the one there is, or that of the head that is most alike."""
    others = [head for head in known if not text.startswith(head)]
    if not others:
        return unread
    nearest = differs(text, max(others, key=lambda head: common(text, head)))
    nearest.hint = _HINT
    return nearest if unread is None or nearest.start > unread.start else unread


def _is_plain(system: str, before: str, known: list[str]) -> bool:
    """Whether a text that stands alone as the system turn begins as the template's own system turns do."""
    leads = [head[len(before) :].partition("\n")[0] for head in known if head.startswith(before)]
    return any(lead and system.startswith(lead) for lead in leads)


def _known(grammar: Grammar, probe: Probe, messages: list[dict[str, Any]]) -> _Known | None:
    try:
        text = probe(messages)
    except RenderError:
        return None
    before, user, _ = text.partition(USER)
    if not user:
        return None
    system = ""
    if len(messages) > 1:
        before, system, behind = before.partition(SYSTEM)
        if not system:
            return None
    else:
        before, behind = "", before
    in_user = not behind.endswith(grammar.user)
    behind = behind if in_user else behind[: len(behind) - len(grammar.user)]
    return _Known(before, behind, in_user) if system else _Known(behind, "", in_user)


def _with_system(grammar: Grammar, text: str, known: _Known) -> Head | Refusal:
    start = position = len(known.before)
    if not known.behind:
        found = grammar.openers.search(text, start)
        end = found.start() if found else len(text)
        return Head(text[start:end], end, known.in_user)
    while (stop := text.find(known.behind, position)) >= 0:
        end = stop + len(known.behind)
        if known.in_user or follows(grammar, text, end):
            return Head(text[start:stop], end, known.in_user)
        position = stop + 1
    return Refusal(f"the system turn that begins here does not go on with {known.behind[:40]!r}", start, hint=_HINT)
